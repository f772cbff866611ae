"""Masks of one matrix as pure functions of scores, with an exact number of kept weights; ties are broken by position.

Scores are (outputs, inputs), float32; the lowest ones are removed. A mask is True for kept weights. ⌊ratio · n⌋ weights
are removed. The ratio is taken as a decimal, so 0.29 of 100 is 29.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal

import numpy as np
import torch
from torch import Tensor

from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import Amount, Pattern


def magnitude(weight: Tensor) -> Tensor:
    """|w|, as float32."""
    return weight.detach().float().abs().contiguous()


def wanda(weight: Tensor, norms: Tensor) -> Tensor:
    """|w_ij| · ‖x_j‖₂ (Sun et al. 2023, arXiv 2306.11695, equation 1).

    `norms` (inputs,) holds ‖x_j‖₂ of each input feature over all calibration tokens.
    """
    return magnitude(weight) * norms.float().to(weight.device)


def random(weight: Tensor, name: str, seed: int) -> Tensor:
    """Scores that depend on the seed and the matrix's name alone, not on which other matrices are pruned."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.rand(weight.shape, generator=generator).to(weight.device)


def removed(ratio: float, count: int) -> int:
    """How many of `count` a ratio removes."""
    return int(Decimal(repr(ratio)) * count)


def keep_in_matrix(scores: Tensor, ratio: float) -> Tensor:
    """The mask that drops the lowest ⌊ratio · size⌋ scores of the whole matrix."""
    return keep_in_rows(scores.reshape(1, -1), ratio).view(scores.shape)


def keep_in_rows(scores: Tensor, ratio: float) -> Tensor:
    """The mask that drops the lowest ⌊ratio · inputs⌋ scores of each row."""
    return keep_highest(scores, removed(ratio, scores.shape[-1]))


def keep_highest(scores: Tensor, count: int) -> Tensor:
    """The mask that drops the `count` lowest scores of each row; of equal scores, the left ones go first."""
    if count <= 0:
        return torch.ones_like(scores, dtype=torch.bool)
    if count >= scores.shape[-1]:
        return torch.zeros_like(scores, dtype=torch.bool)
    bound = _lowest(scores, count)
    keep = scores > bound
    surplus = count - (scores.shape[-1] - keep.sum(-1, keepdim=True))
    for row in surplus.flatten().nonzero().flatten().tolist():
        tied = (scores[row] == bound[row]).nonzero().flatten()
        keep[row, tied[int(surplus[row]) :]] = (
            True  # surplus is negative: its size is the number of ties to keep, from the end
        )
    return keep


def keep_pattern(scores: Tensor, pattern: Pattern) -> Tensor:
    """The mask that keeps the highest N of every M neighbours along a row; of equal scores, the right one stays.

    Raises `BadInput` if the inputs do not divide into groups of M.
    """
    rows, columns = scores.shape
    check_groups(columns, pattern)
    groups = scores.reshape(rows, -1, pattern.group).unbind(-1)
    # How many scores of its group each score exceeds: far faster than sorting very many small groups.
    beaten = [torch.zeros_like(group, dtype=torch.int16) for group in groups]
    for right, score in enumerate(groups):
        for left in range(right):
            over = score >= groups[left]
            beaten[right] += over
            beaten[left] += ~over
    return (torch.stack(beaten, -1) >= pattern.group - pattern.keep).view(rows, columns)


def check_groups(columns: int, amount: Amount) -> None:
    """Raises `BadInput` if an N:M pattern's groups do not fill a row."""
    if isinstance(amount, Pattern) and columns % amount.group:
        raise BadInput(
            "Pattern doesn't fit",
            f"{columns} inputs do not divide into groups of {amount.group}.",
            "Choose another pattern, or other matrices with @name=… or @layers=….",
        )


def check_finite(scores: Tensor, name: str) -> None:
    """Raises `Failure` if a score is NaN or infinite: such scores can't be ranked."""
    low, high = scores.aminmax()  # NaN is both; ten times as fast as testing every score
    if not bool(low.isfinite() & high.isfinite()):
        raise Failure(
            "Not finite",
            f"The weights of {name}, or its inputs, are not all finite, so they can't be ranked.",
            "Load the model in float32, or load another copy of it.",
        )


def _lowest(scores: Tensor, count: int) -> Tensor:
    """The `count`-th lowest score of each row, (rows, 1)."""
    if scores.device.type == "cpu":
        # numpy's selection is vectorised: five to ten times as fast as torch's here.
        found = np.partition(scores.numpy(), count - 1, axis=-1)[..., count - 1]
        return torch.from_numpy(found.copy()).unsqueeze(-1)
    return scores.kthvalue(count, dim=-1, keepdim=True).values
