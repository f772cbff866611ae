"""Numbers in float64, wherever their device has no such thing."""

from __future__ import annotations

from torch import Tensor


def to_float64(tensor: Tensor) -> Tensor:
    """The same in float64, detached; on the host where the device knows none (Apple's GPUs)."""
    held = tensor.detach()
    return (held.cpu() if held.device.type == "mps" else held).double()
