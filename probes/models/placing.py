"""Checks the names of devices, dtypes and device maps. Imports no torch, so that a wrong name is refused at once."""

from __future__ import annotations

import re

from probes.schema.errors import BadInput
from probes.schema.nearest import did_you_mean
from probes.schema.spec import LoadOptions

DTYPES = ("float32", "bfloat16", "float16", "float64")
"""The dtypes that --dtype takes besides "auto"."""
_DEVICES = ("auto", "cpu", "cuda", "mps")
_DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def check_placing(options: LoadOptions) -> None:
    """Raises `BadInput` for an unknown device, dtype or device map."""
    device, dtype, device_map = options.device, options.dtype, options.device_map
    if device_map and device != "auto":
        raise BadInput("Device", "--device and --device-map exclude each other.", "Give one of the two.")
    if device != "auto" and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        hint = f"{did_you_mean(device, _DEVICES)}Use auto, cpu, cuda, cuda:N or mps."
        raise BadInput("Device", f"{device!r} is not a device.", hint)
    if dtype not in ("auto", *DTYPES):
        hint = f"{did_you_mean(dtype, ('auto', *DTYPES))}Use auto, {', '.join(DTYPES)}."
        raise BadInput("Dtype", f"{dtype!r} is not a supported dtype.", hint)
    if device_map and device_map not in _DEVICE_MAPS and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device_map):
        hint = f"{did_you_mean(device_map, _DEVICE_MAPS)}Use {', '.join(_DEVICE_MAPS)}, or a device."
        raise BadInput("Device map", f"{device_map!r} is not a device map.", hint)
