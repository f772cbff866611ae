"""Decides how much is removed from each matrix before anything is pruned: by amounts, tables, or one budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

from probes.schema.errors import BadInput
from probes.schema.prune_setting import Owl, Pattern, Ratio, SettingPart, Table, ranges
from probes.system.float64 import to_float64
from probes.system.user_folders import expanded
from probes.twin.anatomy import Matrix

OWL_OUTLIER = 5.0
"""M: a score is an outlier if it is more than M times the layer's mean score."""
OWL_SPREAD = 0.08
"""λ: the ratios of two layers differ by at most twice this."""


@dataclass(frozen=True, slots=True)
class MatrixAmount:
    """The amount that is removed from one matrix, and the part of the setting that decides it."""

    matrix: Matrix
    part: SettingPart
    amount: Ratio | Pattern

    def __str__(self) -> str:
        return f"{self.matrix.name} {self.part.method}:{self.amount}"


def targeted_matrices(part: SettingPart, matrices: Sequence[Matrix], unreachable: Sequence[str] = ()) -> list[Matrix]:
    """The matrices that a part targets. Raises `BadInput` if there are none. The error names the model's matrices, and
    weights that can't be pruned one by one, such as experts, if the part targets those."""
    targets = part.targets
    check_targets(part, matrices, [matrix.layer for matrix in matrices], unreachable)
    found = [matrix for matrix in matrices if targets.has(matrix.name, matrix.layer, matrix.sublayer)]
    if not found:
        raise _no_matrix(part, "matches no matrix", matrices, unreachable)
    return found


def check_targets(
    part: SettingPart, matrices: Sequence[Matrix], layers: Iterable[int], unreachable: Sequence[str] = ()
) -> None:
    """Raises `BadInput` if a part names a layer that is not in `layers`, or a name that no matrix in its layers has."""
    targets, there = part.targets, set(layers)
    beyond = sorted(set(targets.layers or ()) - there)
    if beyond:
        raise BadInput(
            "No such layer",
            f"{part} names layer {ranges(beyond)}, which has no such sublayer (or it is dropped).",
            f"Layers in use: {ranges(there)}." if there else "Choose another method.",
        )
    meant = [matrix for matrix in matrices if targets.has(matrix.name, matrix.layer, matrix.sublayer)]
    missing = [name for name in targets.names if not any(_is_named(matrix, name) for matrix in meant)]
    if missing:
        raise _no_matrix(part, f"names {missing[0]!r}, which is not a matrix of the model", matrices, unreachable)


def _no_matrix(part: SettingPart, what: str, matrices: Sequence[Matrix], unreachable: Sequence[str]) -> BadInput:
    targets = part.targets
    meant = [name for name in unreachable if targets.sublayer != "attn" and _has_name(name, targets.names)]
    if not meant:
        return BadInput("Nothing to prune", f"{part} {what}.", _names(matrices))
    return BadInput(
        "Nothing to prune",
        f"{part} {what}: experts and routers ({meant[0]}) can't be pruned weight by weight.",
        f"Drop whole MLPs or blocks (drop-mlp, drop-block), or prune other matrices. {_names(matrices)}",
    )


def _has_name(tensor: str, names: Sequence[str]) -> bool:
    """Is the tensor, or a module that it is in, named in `names`? True if there are no names."""
    return not names or any(f".{name}." in f".{tensor}." for name in names)


def _names(matrices: Sequence[Matrix]) -> str:
    return f"Names of matrices: {', '.join(sorted({matrix.name.rpartition('.')[2] for matrix in matrices}))}."


def matrix_amounts(
    parts: Sequence[SettingPart], matrices: Sequence[Matrix], scores: Callable[[Sequence[Matrix]], Iterable[Tensor]]
) -> dict[str, MatrixAmount]:
    """The amount removed from each matrix, by name; if several parts target one, the last decides.

    `scores` gives the Wanda scores of matrices, one after another; it is called only if a part allocates by them.
    """
    decided: dict[str, MatrixAmount] = {}
    for part in parts:
        here = targeted_matrices(part, matrices)
        if isinstance(part.amount, Table):
            found = _from_table(part, part.amount, here)
        elif isinstance(part.amount, Owl):
            found = _by_outliers(part, part.amount.ratio, here, scores(here))
        else:
            assert isinstance(part.amount, (Ratio, Pattern))
            found = [MatrixAmount(matrix, part, part.amount) for matrix in here]
        decided |= {share.matrix.name: share for share in found}
    return {matrix.name: decided[matrix.name] for matrix in matrices if matrix.name in decided}


def table_text(path: str) -> str:
    """The text of a table's file. Raises `BadInput` if it can't be read."""
    try:
        return expanded(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise BadInput(
            "Table", f"{path} can't be read: {reason}.", "Each line has a name or a layer, and its amount: up_proj 0.6"
        ) from problem


def _from_table(part: SettingPart, table: Table, matrices: Sequence[Matrix]) -> list[MatrixAmount]:
    decided: dict[str, MatrixAmount] = {}
    for number, line in enumerate(table_text(table.path).splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        where = f"{table.path}, line {number}"
        if len(words) != 2:
            raise BadInput("Table", f"{where} has {len(words)} columns.", "Write a name or a layer, then its amount.")
        who, amount = words
        found = [matrix for matrix in matrices if who == str(matrix.layer) or _is_named(matrix, who)]
        if not found:
            raise BadInput("Table", f"{where} names {who!r}, which matches no matrix that {part} targets.", "")
        for matrix in found:
            if (settled := _amount(amount, where)) is None:
                decided.pop(matrix.name, None)
            else:
                decided[matrix.name] = MatrixAmount(matrix, part, settled)
    if not decided:
        raise BadInput("Table", f"{table.path} removes nothing.", "Give at least one line with an amount above 0.")
    return list(decided.values())


def _amount(text: str, where: str) -> Ratio | Pattern | None:
    keep, colon, group = text.partition(":")
    if colon and keep.isdigit() and group.isdigit() and 1 <= int(keep) < int(group):
        return Pattern(int(keep), int(group))
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise BadInput("Table", f"{where}: {text!r} is not an amount.", "Use a ratio from 0 to 1, or a pattern as 2:4.")
    return Ratio(ratio) if ratio else None


def _by_outliers(
    part: SettingPart, ratio: float, matrices: Sequence[Matrix], scores: Iterable[Tensor]
) -> list[MatrixAmount]:
    """OWL (arXiv 2310.05175): layers with more outlying scores keep more; the mean over all weights is the ratio."""
    sizes, shares_of_outliers = _outliers(matrices, scores)
    ratios = owl_ratios(ratio, shares_of_outliers, sizes)
    return [MatrixAmount(matrix, part, Ratio(ratios[matrix.layer])) for matrix in matrices]


def owl_ratios(ratio: float, outliers: Mapping[int, float], sizes: Mapping[int, int]) -> dict[int, float]:
    """Each layer's ratio S_l ∝ 1 - D_l, with the mean `ratio` over all weights and a spread of 2λ.

    `outliers` is D, each layer's share of outlying scores, in [0, 1]; `sizes` its number of weights. If the ratio
    is nearer to 0 or 1 than 2λ, the spread is narrowed to that distance, so that every layer's ratio is in [0, 1].
    """
    low, high = min(outliers.values()), max(outliers.values())
    spread = min(OWL_SPREAD, ratio / 2, (1 - ratio) / 2)
    scaled = {layer: 2 * spread * (d - low) / (high - low) if high > low else 0.0 for layer, d in outliers.items()}
    mean = sum(scaled[layer] * sizes[layer] for layer in scaled) / sum(sizes.values())
    return {layer: ratio + mean - scaled[layer] for layer in scaled}


def _outliers(matrices: Sequence[Matrix], scores: Iterable[Tensor]) -> tuple[dict[int, int], dict[int, float]]:
    """By layer: the number of weights, and the share of their scores above M times the layer's mean."""
    sizes: dict[int, int] = {}
    outliers: dict[int, float] = {}
    for layer, pairs in groupby(zip(matrices, scores, strict=True), key=lambda pair: pair[0].layer):
        held = [score for _, score in pairs]
        sizes[layer] = sum(score.numel() for score in held)
        mean = sum(float(to_float64(score).sum()) for score in held) / sizes[layer]
        outliers[layer] = sum(int((score > OWL_OUTLIER * mean).sum()) for score in held) / sizes[layer]
    return sizes, outliers


def _is_named(matrix: Matrix, name: str) -> bool:
    return matrix.name == name or matrix.name.endswith(f".{name}")
