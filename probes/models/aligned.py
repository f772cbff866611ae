"""Moves weights to addresses at which equal weights give bit-identical products.

Weights are mapped from their files, so they begin where the file's header ends. On some processors, the matrix library
sums in another order if a matrix does not begin at a multiple of 64 bytes. The figures of two equal models would then
differ in the last bits, but an exact copy must give exactly 0.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

BYTES = 64
"""A cache line; torch aligns its own memory to it."""


def align(model: nn.Module) -> None:
    """Moves weights on the CPU to aligned memory if this processor's sums depend on it. The values do not change."""
    if sums_depend_on_place():
        move(model)


@torch.no_grad()
def move(model: nn.Module) -> None:
    """Copies each weight on the CPU that does not begin at a multiple of `BYTES`. Shared weights stay shared."""
    moved: dict[tuple[object, ...], Tensor] = {}
    for parameter in model.parameters():
        data = parameter.data
        if type(parameter) is nn.Parameter and data.device.type == "cpu" and data.data_ptr() % BYTES:
            place = (data.data_ptr(), data.shape, data.stride(), data.dtype)
            parameter.data = moved.setdefault(place, data.clone())


@cache
def sums_depend_on_place() -> bool:
    """Does the same matrix at another address give another product here? Tried once, in less than a millisecond."""
    numbers = torch.Generator().manual_seed(0)
    for rows, columns in ((32, 32), (64, 576)):
        matrix, vector = torch.randn(rows, columns, generator=numbers), torch.randn(1, columns, generator=numbers)
        expected = nn.functional.linear(vector, matrix.clone())
        for words in (1, 2, 4):  # 4, 8 and 16 bytes beyond an aligned place
            other = torch.empty(matrix.numel() + words)[words:].view_as(matrix).copy_(matrix)
            if not torch.equal(nn.functional.linear(vector, other), expected):
                return True
    return False
