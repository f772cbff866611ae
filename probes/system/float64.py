"""Converts to float64, on the CPU if the device has no float64."""

from __future__ import annotations

from torch import Tensor


def to_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64, detached; on the CPU if the device has no float64 (Apple's GPUs)."""
    held = tensor.detach()
    return (held.cpu() if held.device.type == "mps" else held).double()
