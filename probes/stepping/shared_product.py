"""A large product of a recipe, of which a thread that has nothing else to do takes a part.

In `free` the pruned model reads two contexts while the dense one reads one. So the dense model's thread is idle at the
end of every step, and takes columns of the product from the end while the pruned model's takes them from the beginning.
While the dense model still reads, nothing waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

LEAST = 4 << 20
"""Bytes of the smallest matrix that is shared: below it, waking a thread costs more than it saves."""
PIECE = 1 << 20
"""Bytes of a piece: few enough for a core's own cache, in which kernels for several rows can read it again."""
_TILE = 64
"""Kernels compute so many columns at once, or a part of it; other pieces would have other bits."""
_aten = torch.ops.aten
_PRODUCTS: dict[object, tuple[Callable[..., Tensor], int]] = {
    _aten.linear.default: (torch._C._nn.linear, 0),
    _aten.mm.default: (torch.mm, -1),
    _aten.addmm.default: (torch.addmm, -1),
}
"""What computes them, and the dimension of their matrix that becomes that of the output's columns."""

Piece = tuple[tuple[Tensor, ...], Tensor]
"""The arguments of a product, and the place of its output."""


class SharedProduct:
    """A product into a given place, to be computed again and again."""

    def __init__(self, function: Callable[..., Tensor], pieces: Sequence[Piece], helper: ThreadPoolExecutor) -> None:
        self._function, self._pieces, self._helper = function, pieces, helper

    @classmethod
    def of(
        cls, function: object, args: Sequence[object], output: object, helper: ThreadPoolExecutor
    ) -> SharedProduct | None:
        """Of an operation that was carried out; None if it is no product, too small to be shared, or if its pieces do
        not give the same bits."""
        python, columns = _PRODUCTS.get(function, (None, 0))
        if python is None or not isinstance(output, Tensor) or not all(isinstance(one, Tensor) for one in args):
            return None
        given = [one for one in args if isinstance(one, Tensor)]
        matrix = max(given, key=lambda one: one.nbytes)
        if matrix.nbytes < LEAST or matrix.dim() != 2 or matrix.shape[columns] != output.shape[-1]:
            return None
        width = max(_TILE, PIECE * output.shape[-1] // matrix.nbytes // _TILE * _TILE)

        def pieces(place: Tensor) -> list[Piece]:
            parts = [_parts(one, matrix, columns, width) for one in given]
            return list(zip(zip(*parts, strict=False), place.split(width, -1), strict=True))

        place = torch.empty_strided(output.shape, output.stride(), dtype=output.dtype)
        _compute(python, deque(pieces(place)).popleft)
        return cls(python, pieces(output), helper) if torch.equal(place, output) else None

    def __call__(self) -> None:
        left = deque(self._pieces)
        helping = self._helper.submit(_compute, self._function, left.pop)
        try:
            _compute(self._function, left.popleft)
        finally:
            left.clear()
            if not helping.cancel():
                helping.result()


def _parts(given: Tensor, matrix: Tensor, columns: int, width: int) -> Iterable[Tensor]:
    """What each piece needs of an argument: its part of the matrix and of what is added, and all of the rows."""
    if given is not matrix and given.dim() > 1:
        return repeat(given)
    parts: Iterable[Tensor] = given.split(width, columns if given is matrix else 0)
    return parts


@torch.inference_mode()
def _compute(function: Callable[..., Any], take: Callable[[], Piece]) -> None:
    """Computes pieces until none is left."""
    while True:
        try:
            args, output = take()
        except IndexError:
            return
        function(*args, out=output)
