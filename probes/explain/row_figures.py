"""Compares many pairs of rows of logits on a CPU, in a fraction of the time that `spaces.compare` takes.

A step has one pair, a token that is explained 120 or more. The figures are the same, made of the same sums, but most
sums are inner products, several of them taken in one pass, and those of the dense row are taken once for all rows that
are compared with it. From each model's logits, that of the dense model's top token is subtracted first: a constant in
all logits costs no digits so, and equal rows stay exactly equal. A row is compared by one thread, others beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from probes.schema.explanation import SpaceFigures
from probes.stepping.distribution import Distribution
from probes.stepping.figures import hidden_figures, logit_figures, probability_figures
from probes.stepping.largest import first_largest
from probes.stepping.spaces import compare
from probes.stepping.sums import count_ahead, hidden_sums
from probes.system.threads import side_by_side

_AT_ONCE = 8
"""Rows of a GPU whose distributions are in memory at once."""
_CANDIDATES = 32
"""How many of the dense model's largest logits are sorted to find the five largest."""
_MOST = 700.0
"""Beyond a power that is little larger, exp overflows."""


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
    def some(rows: slice) -> list[list[ComparedRow]]:
        comparison = _RowComparison(logits.shape[1], temperature)
        return comparison.against(hidden[rows], logits[rows], [(h[rows], z[rows]) for h, z in others])

    number = min(len(logits), torch.get_num_threads())
    ends = [len(logits) * share // number for share in range(number + 1)]
    shares = side_by_side([partial(some, slice(*pair)) for pair in pairwise(ends)])
    compared = [row for share in shares for row in share]
    return tuple([row[other] for row in compared] for other in range(len(others)))


@dataclass(frozen=True, slots=True)
class _Dense:
    """The dense row and its own sums."""

    logits: Tensor
    first: int
    """The top token; of several, the first."""
    largest: float
    five: Sequence[int]
    """The tokens of the five largest logits, equals by their ids; empty if equals may be missing."""
    total: float
    """Σe"""
    square_e: float
    along_e: float
    """Σea"""
    square: float
    """Σa²"""
    sum: float
    """Σa"""


class _RowComparison:
    """Compares rows over one vocabulary at one temperature with a dense row.

    With a = z - z_t and a' = z' - z'_t, where t is the dense model's top token, the vectors are e = exp(a/T), e',
    Δ = a' - a, and e' - γe, where γ = Σe'/Σe. All rows share their memory, in which those that are multiplied with the
    same one are neighbours.
    """

    def __init__(self, vocabulary: int, temperature: float) -> None:
        self._size, self._temperature, self._inverse = vocabulary, temperature, 1 / temperature
        room = torch.zeros(8, vocabulary, dtype=torch.float64)
        self._apart, self._e_pruned, self._e, self._weighted, self._change, self._a, self._half, self._spare = room
        self._half.fill_(0.5)
        self._by_apart, self._by_middle, self._by_weighted, self._by_change = room[:3], room[1:3], room[2:4], room[1:7]

    def against(
        self, hidden: Tensor, logits: Tensor, others: Sequence[tuple[Tensor, Tensor]]
    ) -> list[list[ComparedRow]]:
        """States, (n, d), and their logits, (n, V), compared row by row with others."""
        tops = [first_largest(z).tolist() for z in (logits, *(z for _, z in others))]
        states = [{name: sums[:, 0].tolist() for name, sums in hidden_sums(hidden, h).items()} for h, _ in others]
        found = []
        for row, (first, *firsts) in enumerate(zip(*tops, strict=True)):
            dense = self._dense(logits[row], first)
            compared = []
            for (h, z), sums, top in zip(others, states, firsts, strict=True):
                figures = self._compared(dense, z[row], top, {name: values[row] for name, values in sums.items()})
                at = slice(row, row + 1)
                compared.append(figures or compare_plainly(hidden[at], logits[at], h[at], z[at], self._temperature)[0])
            found.append(compared)
        return found

    def _dense(self, logits: Tensor, first: int) -> _Dense:
        """Fills in a and e."""
        largest = float(logits[first])
        a = self._a.copy_(logits).sub_(largest)
        e = self._exp(a, self._e)
        sums = float(e.sum()), _dot(e, e), _dot(e, a), _dot(a, a), float(a.sum())
        return _Dense(logits, first, largest, _five_largest(logits), *sums)

    def _compared(self, dense: _Dense, logits: Tensor, first: int, states: dict[str, float]) -> ComparedRow | None:
        """A row with this top token and these sums over the hidden states; None if it needs the plain way."""
        largest, at_top = float(logits[first]), float(logits[dense.first])
        a = self._spare.copy_(logits).sub_(largest)
        total = float(self._exp(a, self._e_pruned).sum())
        top = first, 1 / total
        if first != dense.first:
            growth = (largest - at_top) * self._inverse
            if not growth < _MOST:
                return None
            a.add_(largest - at_top)
            self._e_pruned.mul_(math.exp(growth))
            total *= math.exp(growth)
        sums = self._sums(dense, at_top - dense.largest, total)
        if sums is None or not dense.five:
            return None
        ranks = (1, 1)
        if dense.first != first:
            ahead = count_ahead(logits, [dense.first]) + count_ahead(dense.logits, [first])
            ranks = 1 + int(ahead[0]), 1 + int(ahead[1])
        changes = [float(logits[token]) - float(dense.logits[token]) for token in dense.five]
        figures = SpaceFigures(
            hidden_figures(states),
            logit_figures(sums, changes, self._size),
            probability_figures(sums, ranks, float(dense.first == first)),
        )
        return ComparedRow(figures, (dense.first, 1 / dense.total), top)

    def _sums(self, dense: _Dense, shift: float, total_pruned: float) -> dict[str, float] | None:
        """The sums that `sums.measure` takes, by its names, of a row whose a' and e' have been filled in; z'_t - z_t is
        `shift`. None if they are not finite, or the dense row is constant."""
        t, size, total = self._inverse, self._size, dense.total
        e, e_pruned, a, spare = self._e, self._e_pruned, self._a, self._spare
        change = torch.sub(spare, a, out=self._change)
        weighted = torch.mul(e, change, out=self._weighted)
        apart = torch.sub(e_pruned, e, alpha=total_pruned / total, out=self._apart)
        e_pruned_change, e_change, spread, square, along, half_change = (self._by_change @ change).tolist()
        along_weighted, square_weighted = (self._by_weighted @ weighted).tolist()
        square_apart, _, along_apart = (self._by_apart @ apart).tolist()
        distance = float(apart.abs_().sum())
        # log(m/p) = log(1/2 + q/2p) of m = (p + q)/2; log(m/q) is less by log(q/p).
        ratio = torch.addcdiv(self._half, e_pruned, e, value=total / total_pruned / 2, out=spare).log_()
        middle_pruned, middle = (self._by_middle @ ratio).tolist()
        below = (_dot(e_pruned, a) + e_pruned_change) / total_pruned * t
        moved = torch.add(change, shift, out=spare).abs_()
        sum_abs, max_abs = float(moved.sum()), float(moved.max())

        # log q - log p is this constant less than Δ/T.
        constant = math.log(total_pruned / total)
        sum_change = 2 * half_change
        sum_z = dense.sum + size * dense.largest
        square_z = dense.square + dense.largest * (2 * dense.sum + size * dense.largest)
        squares = square + shift * (2 * sum_change + size * shift)
        along_z = along + dense.largest * sum_change + shift * sum_z
        centred = dense.square - dense.sum * dense.sum / size
        if not math.isfinite(middle + middle_pruned + square) or centred <= 1e-20 * square_z:
            return None
        across = _across(squares, along_z, square_z)
        along_centred = along - dense.sum * sum_change / size
        squares_centred = max(0.0, square - sum_change * sum_change / size)
        p_change, square_p = e_change / total, dense.square_e / (total * total)
        q_ratio = e_pruned_change / total_pruned * t - constant
        p_apart, squares_apart = along_apart / (total * total_pruned), square_apart / (total_pruned * total_pruned)
        return {
            "z.square": square_z,
            "z.along": square_z + along_z,
            "z.across": across,
            "dz.along": along_z,
            "dz.across": across,
            "dz.square": square_z,
            "cz.square": centred,
            "cz.along": centred + along_centred,
            "cz.across": _across(squares_centred, along_centred, centred),
            "dz.squares": squares,
            "dz.squares_centred": squares_centred,
            "dz.sum_abs": sum_abs,
            "dz.max_abs": max_abs,
            "p.square": square_p,
            "p.along": square_p + p_apart,
            "p.across": _across(squares_apart, p_apart, square_p),
            "p.distance": distance / total_pruned,
            "p.below": dense.along_e / total * t,
            "q.below": below,
            "p.ratio": p_change * t - constant,
            "q.ratio": q_ratio,
            "p.variance": max(0.0, spread / total - p_change * p_change) * t * t,
            "pp.variance": max(0.0, square_weighted - along_weighted * along_weighted / dense.square_e)
            / (total * total)
            * t
            * t,
            "p.middle": middle / total,
            "q.middle": middle_pruned / total_pruned,
            "q.capped": q_ratio,
            "p.log_total": math.log(total),
            "q.log_total": math.log(total_pruned),
        }

    def _exp(self, a: Tensor, out: Tensor) -> Tensor:
        return torch.exp(a, out=out) if self._inverse == 1 else torch.mul(a, self._inverse, out=out).exp_()


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
    values, tokens = (found.tolist() for found in logits.topk(min(_CANDIDATES, len(logits))))
    ordered = sorted(zip(values, tokens, strict=True), key=lambda pair: (-pair[0], pair[1]))
    cut = len(tokens) < len(logits) and ordered[min(4, len(ordered) - 1)][0] == ordered[-1][0]
    return [] if cut else [token for _, token in ordered[:5]]
