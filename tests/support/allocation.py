"""The matrices of a small model without weights, and the share that a setting gives each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from probes.prune.allocation import MatrixAmount, matrix_amounts
from probes.schema.prune_setting import parse
from probes.twin.anatomy import Matrix

MATRICES = [
    Matrix(f"model.layers.{layer}.{owner}.{name}", layer, sublayer, False)
    for layer in range(3)
    for owner, sublayer, names in (
        ("self_attn", "attn", ("q_proj", "o_proj")),
        ("mlp", "mlp", ("up_proj", "down_proj")),
    )
    for name in names
]


def unasked(_matrices: Sequence[Matrix]) -> Iterable[Tensor]:
    raise AssertionError("nothing here depends on scores")


def allocated(
    setting: str,
    scores: Callable[[Sequence[Matrix]], Iterable[Tensor]] = unasked,
    matrices: Sequence[Matrix] = MATRICES,
) -> dict[str, MatrixAmount]:
    return matrix_amounts(parse(setting).parts, matrices, scores)


def amounts(setting: str) -> dict[str, str]:
    """The method and amount of each matrix, by the end of its name: {"0.q_proj": "wanda 0.5"}."""
    found = allocated(setting).values()
    return {f"{s.matrix.layer}.{s.matrix.name.rpartition('.')[2]}": f"{s.part.method} {s.amount}" for s in found}
