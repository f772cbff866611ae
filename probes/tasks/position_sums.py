"""Compares two models' logits at many positions, in float64, a slice of the vocabulary at a time.

The notation is that of `probes.stepping.spaces`. All figures come from inner products of six vectors over the
vocabulary: a = z - max z, e = exp a, Δ = a' - a, u = e' - e, the products eΔ, and ones. They need one pass, whose
vectors stay in a CPU's cache. A constant in all logits of a model changes none of them, and equal rows give exactly 0.
The dense model's vectors are made once for all models that are compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from probes.stepping.largest import first_largest
from probes.system.float64 import to_float64

Column = np.ndarray[tuple[int], np.dtype[np.float64]]
ROWS = 1
"""Positions that a CPU compares at once: more vectors would leave its cache."""
COLUMNS = 12_288
"""The slice of the vocabulary, of which six vectors fit into a CPU's cache."""


@dataclass(slots=True, eq=False)
class PositionFigures:
    """The figures of n positions, each (n,), in float64; NaN where a model is not finite."""

    finite_dense: Column
    """1 or 0."""
    finite_pruned: Column
    log_p: Column
    """log p of the text's token y."""
    log_q: Column
    top_p: Column
    """The dense model's largest probability."""
    same_top: Column
    """1 if both models have the same top token; of equal logits the smaller id is first."""
    rank: Column
    """The rank of the dense model's top token in q, from 1."""
    kl: Column
    kl_reverse: Column
    h: Column
    """1 - cos h"""
    z: Column
    """1 - centred cos z"""
    p: Column
    """1 - cos p"""
    h_estimate: Column
    p_estimate: Column
    kl_estimate: Column

    @classmethod
    def joined(cls, parts: Sequence[PositionFigures]) -> PositionFigures:
        """Those of all positions, in order."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __getitem__(self, rows: slice) -> PositionFigures:
        return PositionFigures(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.kl)


class PositionSums:
    """Compares rows over one vocabulary. All rows share its memory: six vectors in float64 of a slice of the
    vocabulary for each row at once."""

    def __init__(self, vocabulary: int, rows: int = ROWS, device: torch.device | None = None) -> None:
        self.rows = rows
        self._columns = min(COLUMNS, vocabulary)
        # Zeros, because products with what is left in memory could be slow (denormal numbers).
        self._room = torch.zeros(rows, 6, self._columns, dtype=torch.float64, device=device)

    def compare(
        self, hidden: Tensor, logits: Tensor, others: Sequence[tuple[Tensor, Tensor]], targets: Tensor
    ) -> list[PositionFigures]:
        """The dense model's states, (n, d), and logits, (n, V), compared with those of other models.

        `targets`, (n,), are the text's tokens. Everything is on one device.
        """
        dense = _Top.of(logits)
        tops = [_Top.of(z) for _, z in others]
        of_dense, changes = self._products(logits, [z for _, z in others], dense, tops)
        found = []
        for (h, z), top, change in zip(others, tops, changes, strict=True):
            sums = _sums(logits, z, dense, top, of_dense, change, targets)
            found.append(_figures(torch.stack([*sums, *_states(hidden, h)]).cpu().numpy()))
        return found

    def _products(
        self, logits: Tensor, others: Sequence[Tensor], dense: _Top, tops: Sequence[_Top]
    ) -> tuple[Tensor, list[_Changes]]:
        """Σa and Σa², (n, 2, 1), and the sums of each other model."""
        count = len(logits)

        def zeros(size: int) -> Tensor:
            return torch.zeros(count, size, 1, dtype=torch.float64, device=logits.device)

        of_dense = zeros(2)
        changes = [_Changes(zeros(6), zeros(6), zeros(2), zeros(1)) for _ in others]
        rooms: dict[tuple[int, ...], _Vectors] = {}
        for first in range(0, count, self.rows):
            rows = slice(first, first + self.rows)
            largest, dense_sums = dense.largest[rows], of_dense[rows]
            row_sums = [(top.largest[rows], sums[rows]) for top, sums in zip(tops, changes, strict=True)]
            slices = [z[rows].split(self._columns, 1) for z in (logits, *others)]
            for z, *pruned in zip(*slices, strict=True):
                if z.shape not in rooms:
                    rooms[z.shape] = _Vectors(self._room[: len(z), :, : z.shape[1]])
                vectors = rooms[z.shape]
                vectors.set_dense(z, largest)
                vectors.add_dense(dense_sums)
                for other, (top, sums) in zip(pruned, row_sums, strict=True):
                    vectors.set_other(other, top)
                    vectors.add(sums)
        return of_dense, changes


class _Vectors:
    """Six vectors of some rows over a slice of the vocabulary, (rows, 6, columns): Δ, eΔ, e, u, 1 and a."""

    def __init__(self, room: Tensor) -> None:
        self._all = room
        self._change, self._weighted, self._e, self._apart, ones, self._a = room.unbind(1)
        ones.fill_(1)
        self._weighted_alone, self._apart_one, self._one_a = room[:, 1:2], room[:, 3:5], room[:, 4:]
        # As columns, to multiply with.
        self._by_change, self._by_weighted, self._by_e, self._by_apart, _, self._by_a = room.unsqueeze(3).unbind(1)

    def set_dense(self, logits: Tensor, largest: Tensor) -> None:
        """Fills in a and e."""
        self._a.copy_(logits).sub_(largest)
        torch.exp(self._a, out=self._e)

    def set_other(self, logits: Tensor, largest: Tensor) -> None:
        """Fills in the vectors that depend on another model."""
        self._change.copy_(logits).sub_(largest)
        torch.exp(self._change, out=self._apart)
        self._apart.sub_(self._e)
        self._change.sub_(self._a)
        torch.mul(self._e, self._change, out=self._weighted)

    def add_dense(self, sums: Tensor) -> None:
        """Adds Σa and Σa²."""
        sums.baddbmm_(self._one_a, self._by_a)

    def add(self, sums: _Changes) -> None:
        """Adds the inner products."""
        sums.of_change.baddbmm_(self._all, self._by_change)
        sums.of_e.baddbmm_(self._all, self._by_e)
        sums.of_apart.baddbmm_(self._apart_one, self._by_apart)
        sums.of_weighted.baddbmm_(self._weighted_alone, self._by_weighted)


@dataclass(frozen=True, slots=True, eq=False)
class _Top:
    """The largest logit of each row."""

    largest: Tensor
    """(n, 1), in float64."""
    token: Tensor
    """(n,); of equal logits the smaller id."""

    @classmethod
    def of(cls, logits: Tensor) -> _Top:
        token = first_largest(logits)
        return cls(logits.gather(1, token[:, None]).double(), token)


@dataclass(frozen=True, slots=True, eq=False)
class _Changes:
    """Inner products of the vectors Δ, eΔ, e, u, 1 and a with some of them, (n, k, 1)."""

    of_change: Tensor
    of_e: Tensor
    of_apart: Tensor
    """Of u and 1 alone."""
    of_weighted: Tensor
    """Of eΔ alone."""

    def __getitem__(self, rows: slice) -> _Changes:
        return _Changes(self.of_change[rows], self.of_e[rows], self.of_apart[rows], self.of_weighted[rows])


def _sums(
    logits: Tensor,
    logits_pruned: Tensor,
    dense: _Top,
    pruned: _Top,
    of_dense: Tensor,
    changes: _Changes,
    targets: Tensor,
) -> list[Tensor]:
    """The figures of rows but those of h, in the order of `_figures`, from their sums."""
    sum_a, square_a = of_dense[:, :, 0].unbind(1)
    square_change, variance, mean, apart_change, sum_change, along = changes.of_change[:, :, 0].unbind(1)
    _, weighted_e, square_e, apart_e, total, _ = changes.of_e[:, :, 0].unbind(1)
    square_apart, sum_apart = changes.of_apart[:, :, 0].unbind(1)
    size = logits.shape[1]
    growth = sum_apart / total  # of Σe
    total_pruned = total + sum_apart
    constant = torch.log(total_pruned) - torch.log(total)
    mean = mean / total  # p·Δ
    # q - p = (u - growth e) / Σe', and q = (e + u) / Σe'
    p_apart = (apart_e - growth * square_e) / (total * total_pruned)
    square = (square_apart - growth * (2 * apart_e - growth * square_e)) / (total_pruned * total_pruned)
    square_p = square_e / (total * total)
    q_change = (mean * total + apart_change) / total_pruned
    spread = (changes.of_weighted[:, 0, 0] - weighted_e * weighted_e / square_e) / square_e
    finite_dense = torch.isfinite(sum_a)
    finite = torch.isfinite(sum_change)
    if not bool(finite.all()):  # of both models: that of one is asked only then
        finite = torch.isfinite(logits_pruned).all(-1)
    return [
        finite_dense.double(),
        finite.double(),
        _log_probability(logits, dense, total, targets),
        _log_probability(logits_pruned, pruned, total_pruned, targets),
        1 / total,
        (dense.token == pruned.token).double(),
        1 + _ahead(logits_pruned, dense.token, pruned.token),
        _not_negative(constant - mean),
        _not_negative(q_change - constant),
        _apart(
            square_a - sum_a * sum_a / size,
            along - sum_a * sum_change / size,
            square_change - sum_change * sum_change / size,
        ),
        _apart(square_p, p_apart, square),
        _not_negative(spread) / 2,
        _not_negative(variance / total - mean * mean) / 2,
    ]


def _log_probability(logits: Tensor, top: _Top, total: Tensor, targets: Tensor) -> Tensor:
    return (logits.gather(1, targets[:, None]).double() - top.largest)[:, 0] - total.log()


def _ahead(logits: Tensor, token: Tensor, first: Tensor) -> Tensor:
    """How many logits are larger than a token's, or equal with a smaller id: 0 if it is the top token, so that most
    rows need no pass."""
    found = torch.zeros(len(logits), dtype=torch.float64, device=logits.device)
    own = logits.gather(1, token[:, None])
    if not logits.is_cpu:
        ids = torch.arange(logits.shape[1], device=logits.device)
        return ((logits > own) | ((logits == own) & (ids < token[:, None]))).sum(-1).double()
    for row in torch.nonzero(token != first)[:, 0].tolist():
        at = int(token[row])
        before, after = logits[row, :at] >= own[row], logits[row, at:] > own[row]
        found[row] = int(before.count_nonzero() + after.count_nonzero())
    return found


def _states(hidden: Tensor, hidden_pruned: Tensor) -> list[Tensor]:
    """1 - cos h and its estimate by Theorem 1."""
    h = to_float64(hidden)
    change = to_float64(hidden_pruned) - h
    square, along, square_change = (h * h).sum(-1), (h * change).sum(-1), (change * change).sum(-1)
    across = _not_negative(square_change - along * along / square)
    return [_apart(square, along, square_change), across / square / 2]


def _apart(square: Tensor, along: Tensor, square_change: Tensor) -> Tensor:
    """1 - cos of v and v + Δ, from ‖v‖², ⟨v, Δ⟩ and ‖Δ‖²: half the squared distance of the unit vectors, so that it
    keeps its digits near 0. In lengths of v they are (1, 0) and (1 + ⟨v, Δ⟩/‖v‖², the part of Δ across v)."""
    along = along / square
    across = _not_negative(square_change / square - along * along).sqrt()
    length = torch.hypot(1 + along, across)
    # 1 - (1 + along)/length, without the loss of digits
    nearer = across * across / (length * (length + 1 + along))
    return torch.where(1 + along > 0, nearer, 1 - (1 + along) / length)


def _not_negative(values: Tensor) -> Tensor:
    """0 where rounding made a value less; NaN stays."""
    return torch.where(values <= 0, torch.zeros_like(values), values)


def _figures(sums: np.ndarray) -> PositionFigures:
    ok, ok2, log_p, log_q, top, same, rank, kl, reverse, z, p, p_estimate, kl_estimate, h, h_estimate = sums
    whole = np.isfinite(sums[2:]).all(0) & (ok > 0) & (ok2 > 0)
    finite = (np.where(whole, column, np.nan) for column in (log_p, log_q, top, same, rank, kl, reverse))
    spaces = (np.where(whole, column, np.nan) for column in (h, z, p, h_estimate, p_estimate, kl_estimate))
    return PositionFigures(ok, np.where(whole, 1.0, np.where(ok > 0, 0.0, ok2)), *finite, *spaces)
