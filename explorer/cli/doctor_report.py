"""Collects what a bug report needs, in sections.

Nothing in it is secret: paths begin with ~, and of the environment only variables that are known to hold no secret are
named.
"""

from __future__ import annotations

import locale
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from explorer.config.config_file import Config
from explorer.config.environment import environment_options
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.system.caches import CACHES
from probes.system.user_folders import cache_folder, config_folder, recordings_folder, shortened

Section = dict[str, str]
PACKAGES = (
    *("torch", "transformers", "tokenizers", "safetensors", "accelerate", "numpy", "gguf", "huggingface-hub"),
    *("textual", "rich", "click", "msgspec"),
)
EXTRAS = ("compressed-tensors", "datasets", "distributed", "lm-eval", "matplotlib", "polars", "scipy", "textual-serve")
"""Packages that need not be there; those that are, are named."""
_VARIABLES = (
    *("PHIER_CACHE", "PHIER_CONFIG", "PHIER_RECORDINGS", "PHIER_SESSIONS", "PHIER_THEME", "PHIER_GLYPHS"),
    *("PHIER_REDUCED_MOTION", "PHIER_REPAINT_CACHE", "TEXTUAL_ANIMATIONS", "TEXTUAL_FPS", "NO_COLOR", "LANG", "LC_ALL"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF", "HF_HOME"),
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "PYTHONPATH", "PYTHONIOENCODING"),
)
_PLACES = ("PHIER_CACHE", "PHIER_CONFIG", "PHIER_RECORDINGS", "PHIER_SESSIONS", "HF_HOME", "PYTHONPATH")


def program_section() -> Section:
    """Versions, without an import of what they are of."""
    found = {
        "phier": _version("phier") or "not installed",
        "Python": f"{platform.python_version()} ({platform.python_implementation()}), {shortened(sys.executable)}",
    }
    found |= {name: _version(name) or "missing" for name in PACKAGES}
    extras = [f"{name} {there}" for name in EXTRAS if (there := _version(name))]
    return found | {"extras": ", ".join(extras) or "none"}


def machine_section() -> Section:
    """The system, its cores and its memory."""
    import psutil

    memory = psutil.virtual_memory()
    named = ", ".join(f"{name}={_shown(name, value)}" for name, value in _environment().items())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": f"{os.cpu_count()}, of which this process may use {usable}",
        "memory": f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free",
        "environment": named or "nothing that changes figures or looks",
    }


def terminal_section(config: Config) -> Section:
    """The terminal as far as the program sees it."""
    from rich.console import Console

    size = os.get_terminal_size(2) if sys.stderr.isatty() and hasattr(os, "get_terminal_size") else None
    within = [name for name, there in _within().items() if there]
    encoding = sys.stdout.encoding or "unknown"
    unicode = "utf" in encoding.lower() and "utf" in locale.getpreferredencoding(False).lower().replace("-", "")
    return {
        "TERM": _shown("TERM", os.environ.get("TERM", "not set")),
        "COLORTERM": _shown("COLORTERM", os.environ.get("COLORTERM", "not set")),
        "program": _shown("TERM_PROGRAM", os.environ.get("TERM_PROGRAM", "not said")),
        "size": f"{size.columns} × {size.lines}" if size else "no terminal",
        "colours": Console(stderr=True).color_system or "none",
        "within": ", ".join(within) or "neither tmux, nor screen, nor ssh",
        "characters": f"{encoding}, {'with' if unicode else 'perhaps without'} Unicode",
        "clipboard": "OSC 52, to which a terminal gives no answer: whether it copies can't be known",
        "looks": _looks(config),
    }


def folder_section(config: Config) -> Section:
    """Where the user's files are."""
    there = "there" if config.exists else "not there: `phier config --write` writes an example"
    return {
        "config file": f"{shortened(config.path)} ({there})",
        "recordings": _folder(recordings_folder(), "*.jsonl"),
        "saved settings": _folder(config_folder(), "settings.json"),
    }


def cache_sections() -> tuple[Section, int]:
    """The caches and their sizes, and the bytes of all together."""
    found, total = {"folder": shortened(cache_folder())}, 0
    for cache in CACHES:
        count, size = cache.size()
        found[cache.name] = f"{in_bytes(size)}, {count} {'entry' if count == 1 else 'entries'}: {cache.about}"
        total += size
    hub = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    found["of others"] = f"{shortened(hub)}: models of the hub, which are never removed here"
    return found, total


def computing_section() -> Section:
    """What the models compute on. It imports torch."""
    from probes.stepping.computing_here import devices_here, overlap_here, threads_here

    return {"devices": "; ".join(devices_here()), "threads": threads_here(), "overlap": overlap_here()}


def in_bytes(size: int) -> str:
    """`1.2 GB`, `34 MB`, `5 kB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size / unit:.0f} {name}"
    return f"{size} bytes"


def _looks(config: Config) -> str:
    try:
        chosen = {**config.values, **environment_options()}
    except BadInput as problem:
        return str(problem)
    names = {"theme": "dark", "glyphs": "braille", "motion": "full"}
    return ", ".join(f"{name} {chosen.get(name, default)}" for name, default in names.items())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _environment() -> Mapping[str, str]:
    return {name: value for name in _VARIABLES if (value := os.environ.get(name)) is not None}


def _shown(name: str, value: str) -> str:
    if name in _PLACES:
        value = os.pathsep.join(shortened(part) for part in value.split(os.pathsep))
    return visible(value, 200)


def _within() -> Mapping[str, bool]:
    """Programs between the terminal and this one. That a connection is there is said, not from where."""
    return {
        "tmux": "TMUX" in os.environ,
        "GNU screen": "STY" in os.environ,
        "ssh": bool({"SSH_CONNECTION", "SSH_TTY"} & os.environ.keys()),
        "Windows Subsystem for Linux": "WSL_DISTRO_NAME" in os.environ,
        "a container": Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
    }


def _folder(folder: Path, pattern: str) -> str:
    try:
        sizes = [path.stat().st_size for path in folder.glob(pattern)]
    except OSError as problem:
        return f"{shortened(folder)} (can't be read: {problem.strerror})"
    if not folder.is_dir():
        return f"{shortened(folder)} (not there yet)"
    return f"{shortened(folder)}: {len(sizes)} {'file' if len(sizes) == 1 else 'files'}, {in_bytes(sum(sizes))}"
