"""Says what this machine computes with: devices, threads, and how two models would overlap on a CPU.

Needs torch, and not transformers, which takes long to import.
"""

from __future__ import annotations

import os
import sys

import torch

from probes.schema.spec import OverlapMode


def devices_here() -> list[str]:
    """Every device of torch with its memory, the CPU last."""
    found = []
    for place in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(place)
        found.append(f"cuda:{place}: {about.name}, {about.total_memory / 1e9:.1f} GB")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, f"cpu: {torch.backends.cpu.get_cpu_capability()}"]


def threads_here() -> str:
    """How many threads torch computes with, of how many cores."""
    return f"{torch.get_num_threads()} of {cores()} cores"


def overlap_here() -> str:
    """How `--overlap auto` computes two large models' passes here, in words."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return "on a GPU both models at the same time"
    mode, each = expected_overlap()
    if mode is OverlapMode.NONE:
        return f"{mode}: there are not twice as many cores as the {each} threads of a model"
    ways = "threads, or process if a run's first steps are faster so" if mode is OverlapMode.PROCESS else str(mode)
    return f"{ways}; each model with {each} {'thread' if each == 1 else 'threads'}"


def expected_overlap(threads: int = 0) -> tuple[OverlapMode, int]:
    """The way that `auto` tries first for two large models on this CPU, and the threads of each model."""
    own = torch.get_num_threads()
    each = threads or (own if os.environ.get("OMP_NUM_THREADS") else max(1, own // 2))
    if cores() < 2 * each:
        return OverlapMode.NONE, each
    return OverlapMode.THREADS if why_no_process() else OverlapMode.PROCESS, each


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def why_no_process() -> str:
    """Why no model can compute in a process of its own; "" if one can."""
    if sys.platform != "linux":
        return "only Linux lets a process go on with the models of another one"
    return "this process already uses a GPU" if torch.cuda.is_initialized() else ""
