"""One object of all that a benchmark found, to be written as JSON: figures, versions, machine, date."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

FORMAT = 1
"""The number of the format; it grows if a name changes its meaning."""
_PACKAGES = ("phier", "torch", "transformers", "accelerate", "numpy", "textual")


def report(benchmark: str, found: object, seconds: float, load: float | None = None) -> dict[str, Any]:
    """The object: `found` with its fields and properties. `load` is the load average before the measurements."""
    return {
        "format": FORMAT,
        "benchmark": benchmark,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "machine": {**machine(), "load_before": load},
        **plain(found),
    }


def machine() -> dict[str, Any]:
    """This machine: processor, cores, the threads that torch computes with, the GPUs."""
    gpus = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    return {
        "processor": _processor(),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "gpus": gpus,
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: a dataclass as its fields and properties, a number that is not finite as null."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        names += [name for kind in type(value).__mro__ for name, one in vars(kind).items() if isinstance(one, property)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)


def as_text(found: Mapping[str, Any]) -> str:
    """The object on lines of its own, in ASCII alone."""
    return json.dumps(found, indent=1, allow_nan=False)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """The processor's name, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
