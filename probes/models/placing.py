"""Checks the names of devices, dtypes and device maps. Imports no torch, so that a wrong name is refused at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.nearest import did_you_mean
from probes.schema.spec import LoadOptions
from probes.system.user_folders import expanded

DTYPES = ("float32", "bfloat16", "float16", "float64")
"""The dtypes that --dtype takes besides "auto"."""
_DEVICES = ("auto", "cpu", "cuda", "mps")
_DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
_PLACE = re.compile(r"cpu|mps|cuda(:\d+)?")
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def check_placing(options: LoadOptions) -> None:
    """Raises `BadInput` for an unknown device, dtype or device map, and for a limit of memory that can't be read."""
    device, dtype, device_map = options.device, options.dtype, options.device_map
    if device_map and device != "auto":
        raise BadInput("Device", "--device and --device-map exclude each other.", "Give one of the two.")
    if device != "auto" and not _PLACE.fullmatch(device):
        hint = f"{did_you_mean(device, _DEVICES)}Use auto, cpu, cuda, cuda:N or mps."
        raise BadInput("Device", f"{device!r} is not a device.", hint)
    if dtype not in ("auto", *DTYPES):
        hint = f"{did_you_mean(dtype, ('auto', *DTYPES))}Use auto, {', '.join(DTYPES)}."
        raise BadInput("Dtype", f"{dtype!r} is not a supported dtype.", hint)
    if isinstance(named_map(options), str) and device_map not in _DEVICE_MAPS and not _PLACE.fullmatch(device_map):
        hint = f"{did_you_mean(device_map, _DEVICE_MAPS)}Use {', '.join(_DEVICE_MAPS)}, a device, or a .json file."
        raise BadInput("Device map", f"{device_map!r} is not a device map.", hint)
    if memory_limits(options) and device_map not in _DEVICE_MAPS:
        raise BadInput(
            "Memory limits",
            "--max-memory has no effect without a device map that is computed.",
            "Add --device-map auto.",
        )


def named_map(options: LoadOptions) -> str | dict[str, str] | None:
    """The device map: the name of a way to compute it, or a device by module path; None if there is none.

    Raises `BadInput` if it is a file that holds no device map.
    """
    name = options.device_map
    if not name.endswith(".json"):
        return name or None
    try:
        found = json.loads(Path(expanded(name)).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not JSON"
        raise BadInput("Device map", f"{visible(name, 300)} can't be read: {reason}.", _EXAMPLE) from problem
    if not isinstance(found, Mapping) or not found:
        raise BadInput("Device map", f"{visible(name, 300)} names no module.", _EXAMPLE)
    for module, place in found.items():
        if not isinstance(place, str) or not (place == "disk" or _PLACE.fullmatch(place)):
            message = f"{visible(name, 300)} puts {visible(module, 100) or 'the model'} on {visible(str(place), 60)!r}."
            raise BadInput("Device map", message, "Use cpu, cuda:N, mps or disk.")
    return {str(module): str(place) for module, place in found.items()}


_EXAMPLE = 'It maps modules to devices: {"model.embed_tokens": "cuda:0", "model.layers.0": "cpu", …}'


def memory_limits(options: LoadOptions) -> dict[str | int, int]:
    """The most bytes by device, as accelerate names them: GPUs by number. Raises `BadInput` for text without them."""
    limits: dict[str | int, int] = {}
    for limit in options.max_memory.split(",") if options.max_memory else ():
        found = re.fullmatch(r"\s*(cpu|mps|cuda(?::(\d+))?)\s*=\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", limit)
        if found is None or found[4].upper() not in _UNITS:
            hint = "Give a device and a size for each: --max-memory cuda:0=20GB,cpu=60GB"
            raise BadInput("Memory limits", f"{visible(limit.strip(), 100)!r} is not a limit of memory.", hint)
        device = int(found[2] or 0) if found[1].startswith("cuda") else found[1]
        limits[device] = int(float(found[3]) * _UNITS[found[4].upper()])
    return limits
