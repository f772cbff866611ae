"""Compares many pairs of rows of logits on a CPU, in a fraction of the time that `spaces.compare` takes.

A step has one pair, a token that is explained 120 or more. The figures are the same, made of the same sums, but most
sums are inner products of six vectors (z, Δ = z' - z, p, q - p, p·Δ and log(m/p)), and those of the dense row are taken
once for all rows that are compared with it. In the products, Δ is less its value at the dense top token: a constant in
all logits costs no digits so, and equal rows stay exactly equal. A row is compared by one thread, others beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from probes.schema.explanation import SpaceFigures
from probes.stepping.distribution import Distribution
from probes.stepping.figures import hidden_figures, logit_figures, probability_figures
from probes.stepping.spaces import compare
from probes.stepping.sums import count_ahead, hidden_sums
from probes.system.threads import side_by_side

_AT_ONCE = 8
"""Rows of a GPU whose distributions are in memory at once."""
_CANDIDATES = 32
"""How many of the dense model's largest logits are sorted to find the five largest."""
_CAP = 40.0
"""The largest log(q/p) that is compared here; `spaces` treats the tokens beyond apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One model's next-token distribution at one position."""

    logits: Tensor
    """(V,), as the model computes them."""
    z: Tensor
    """(V,), float64, as all that follows."""
    p: Tensor
    largest: float
    first: int
    """The top token; of several, the first."""
    log_total: float
    """log Σ exp((z - largest)/T)"""


@dataclass(frozen=True, slots=True, eq=False)
class _Dense:
    row: Row
    square: float
    sum: float
    square_p: float
    z_mean: float
    """Σ p·z"""
    five: Sequence[int]
    """The tokens of the five largest logits, equals by their ids; empty if equals may be missing."""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A pair of rows."""

    figures: SpaceFigures
    top: tuple[int, float]
    """The dense model's top token and its probability."""
    top_pruned: tuple[int, float]


def compare_rows(
    hidden: Tensor, logits: Tensor, *others: tuple[Tensor, Tensor], temperature: float
) -> tuple[list[ComparedRow], ...]:
    """Compares states of the residual stream, (n, d), and their logits, (n, V), with those of others, row by row."""
    if not logits.is_cpu:
        found: tuple[list[ComparedRow], ...] = tuple([] for _ in others)
        for start in range(0, len(logits), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            for made, (h, z) in zip(found, others, strict=True):
                made += compare_plainly(hidden[rows], logits[rows], h[rows], z[rows].to(logits.device), temperature)
        return found

    @torch.inference_mode()
    def some(rows: range) -> list[list[ComparedRow]]:
        comparison = _RowComparison(logits.shape[1], temperature)
        return [comparison.against(hidden[row], logits[row], [(h[row], z[row]) for h, z in others]) for row in rows]

    number = min(len(logits), torch.get_num_threads())
    ends = [len(logits) * share // number for share in range(number + 1)]
    shares = side_by_side([partial(some, range(*pair)) for pair in pairwise(ends)])
    compared = [row for share in shares for row in share]
    return tuple([row[other] for row in compared] for other in range(len(others)))


class _RowComparison:
    """Compares rows over one vocabulary at one temperature with a dense row. All rows share its memory."""

    def __init__(self, vocabulary: int, temperature: float) -> None:
        self._inverse = 1 / temperature
        self._temperature = temperature
        self._memory = torch.empty(6, vocabulary, dtype=torch.float64)

    def against(self, hidden: Tensor, logits: Tensor, others: Sequence[tuple[Tensor, Tensor]]) -> list[ComparedRow]:
        """One state, (d,), and its logits, (V,), compared with others."""
        row = self._row(logits, *self._memory[:2])
        z, p = row.z, row.p
        dense = _Dense(row, _dot(z, z), float(z.sum()), _dot(p, p), _dot(p, z), _five_largest(logits))
        top = row.first, float(p[row.first])
        return [self._compared(hidden, dense, top, *other) for other in others]

    def _compared(
        self, hidden: Tensor, own: _Dense, top: tuple[int, float], hidden_pruned: Tensor, logits_pruned: Tensor
    ) -> ComparedRow:
        dense, pruned = own.row, self._row(logits_pruned, *self._memory[2:4])
        top_pruned = pruned.first, float(pruned.p[pruned.first])
        changes = [float(pruned.z[token]) - float(dense.z[token]) for token in own.five]
        sums = self._sums(own, pruned)
        if sums is None or not changes:
            pair = (hidden[None], dense.logits[None], hidden_pruned[None], logits_pruned[None])
            return compare_plainly(*pair, self._temperature)[0]
        ranks = (1, 1)
        if dense.first != pruned.first:
            ahead = count_ahead(logits_pruned, [dense.first]) + count_ahead(dense.logits, [pruned.first])
            ranks = 1 + int(ahead[0]), 1 + int(ahead[1])
        states = {name: float(value) for name, value in hidden_sums(hidden[None], hidden_pruned[None]).items()}
        figures = SpaceFigures(
            hidden_figures(states),
            logit_figures(sums, changes, len(dense.z)),
            probability_figures(sums, ranks, float(dense.first == pruned.first)),
        )
        return ComparedRow(figures, top, top_pruned)

    def _row(self, logits: Tensor, z: Tensor, p: Tensor) -> Row:
        z.copy_(logits)
        largest, first = logits.max(-1)
        torch.sub(z, largest, out=p)
        if self._inverse != 1:
            p.mul_(self._inverse)
        total = p.exp_().sum()
        p.mul_(1 / total)
        return Row(logits, z, p, float(largest), int(first), float(total.log()))

    def _sums(self, own: _Dense, pruned: Row) -> dict[str, float] | None:
        """The sums that `sums.measure` takes, by its names; None if a sum is of a kind that loses its digits here.
        The pruned row is overwritten."""
        dense, t, size = own.row, self._inverse, len(pruned.z)
        z, p, q = dense.z, dense.p, pruned.p
        room, weighted = self._memory[4], self._memory[5]
        q_below = (_dot(q, pruned.z) - pruned.largest) * t
        change = pruned.z.sub_(z)
        torch.abs(change, out=room)
        sum_abs, max_abs = float(room.sum()), float(room.max())
        shift = float(change[dense.first])
        change.sub_(shift)
        total, square, along = float(change.sum()), _dot(change, change), _dot(z, change)
        squares = square + 2 * shift * total + size * shift * shift
        raw_along = along + shift * own.sum
        centred = own.square - own.sum * own.sum / size
        squares_centred = max(0.0, square - total * total / size)
        along_centred = along - own.sum * total / size
        # log q - log p is this constant and Δ/T
        constant = (shift - (pruned.largest - dense.largest)) * t - (pruned.log_total - dense.log_total)
        torch.mul(p, change, out=weighted)
        p_change, q_change = float(weighted.sum()), _dot(q, change)
        variance = max(0.0, _dot(weighted, change) - p_change * p_change) * t * t
        p_weighted = _dot(p, weighted)
        variance_of_squares = max(0.0, _dot(weighted, weighted) - p_weighted * p_weighted / own.square_p) * t * t
        q_ratio = q_change * t + constant
        ratio = change.mul_(t).add_(constant)
        if not own.square or centred <= 1e-20 * own.square or float(ratio.max()) > _CAP:
            return None
        middle = ratio.expm1_().mul_(0.5).log1p_()
        p_middle, q_middle = _dot(p, middle), _dot(q, middle)
        apart = q.sub_(p)
        p_apart, square_apart = _dot(p, apart), _dot(apart, apart)
        return {
            "z.square": own.square,
            "z.along": own.square + raw_along,
            "z.across": (across := _across(squares, raw_along, own.square)),
            "dz.along": raw_along,
            "dz.across": across,
            "dz.square": own.square,
            "cz.square": centred,
            "cz.along": centred + along_centred,
            "cz.across": _across(squares_centred, along_centred, centred),
            "dz.squares": squares,
            "dz.squares_centred": squares_centred,
            "dz.sum_abs": sum_abs,
            "dz.max_abs": max_abs,
            "p.square": own.square_p,
            "p.along": own.square_p + p_apart,
            "p.across": _across(square_apart, p_apart, own.square_p),
            "p.distance": float(apart.abs_().sum()),
            "p.below": (own.z_mean - dense.largest) * t,
            "q.below": q_below,
            "p.ratio": p_change * t + constant,
            "q.ratio": q_ratio,
            "p.variance": variance,
            "pp.variance": variance_of_squares,
            "p.middle": p_middle,
            "q.middle": q_middle,
            "q.capped": q_ratio,
            "p.log_total": dense.log_total,
            "q.log_total": pruned.log_total,
        }


def compare_plainly(
    hidden: Tensor, logits: Tensor, hidden_pruned: Tensor, logits_pruned: Tensor, temperature: float
) -> list[ComparedRow]:
    """The same rows by `spaces.compare`: exactly the figures that a step shows."""
    p, q = Distribution(logits, temperature), Distribution(logits_pruned, temperature)
    tokens = [(one.first[:, 0].tolist(), one.p.gather(1, one.first)[:, 0].tolist()) for one in (p, q)]
    tops = [list(zip(*both, strict=True)) for both in tokens]
    found = compare(hidden, hidden_pruned.to(hidden.device), p, q, top=1)
    return [ComparedRow(SpaceFigures(one.h, one.z, one.p), *both) for one, *both in zip(found, *tops, strict=True)]


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b))


def _across(square: float, along: float, base: float) -> float:
    """The square of the part of a vector across another one: of its square, the product of the two, the other's
    square."""
    return max(0.0, square - along * along / base)


def _five_largest(logits: Tensor) -> list[int]:
    values, tokens = logits.topk(min(_CANDIDATES, len(logits)))
    ordered = sorted(zip(values.tolist(), tokens.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    cut = len(tokens) < len(logits) and ordered[min(4, len(ordered) - 1)][0] == ordered[-1][0]
    return [] if cut else [token for _, token in ordered[:5]]
