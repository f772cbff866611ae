"""Compares two models' logits at many positions, in float64, a few rows of the vocabulary at a time.

The notation is that of `probes.stepping.spaces`. The dense row is taken once for all models that are compared with it.
All sums are inner products of a few vectors: a = z - max z, p, Δ = a' - a, q - p and p·Δ. A constant in all logits of
a model changes none of them, and equal rows give exactly 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from probes.system.float64 import to_float64

Column = np.ndarray[tuple[int], np.dtype[np.float64]]
ROWS = 1
"""Positions that a CPU compares at once: more vectors would leave its cache."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _DenseRows:
    """The dense model at a few positions: vectors (n, V) and sums (n,)."""

    below: Tensor
    """a = z - max z"""
    p: Tensor
    first: Tensor
    log_total: Tensor
    """log Σ exp a"""
    at: Tensor
    """log p(y)"""
    sum: Tensor
    square: Tensor
    square_p: Tensor


class PositionSums:
    """Compares rows over one vocabulary. All rows share its memory: five vectors in float64 for each row at once."""

    def __init__(self, vocabulary: int, rows: int = ROWS, device: torch.device | None = None) -> None:
        self.rows = rows
        self._room = torch.empty(5, rows, vocabulary, dtype=torch.float64, device=device)

    def compare(
        self, hidden: Tensor, logits: Tensor, others: Sequence[tuple[Tensor, Tensor]], targets: Tensor
    ) -> list[PositionFigures]:
        """The dense model's states, (n, d), and logits, (n, V), compared with those of other models.

        `targets`, (n,), are the text's tokens. Everything is on one device.
        """
        found: list[list[Tensor]] = [[] for _ in others]
        for start in range(0, len(logits), self.rows):
            rows = slice(start, start + self.rows)
            dense = self._dense(logits[rows], targets[rows])
            for made, (h, z) in zip(found, others, strict=True):
                sums = self._against(dense, logits[rows], z[rows], targets[rows])
                made.append(torch.stack([*sums, *_states(hidden[rows], h[rows])]))
        return [_figures(torch.cat(made, 1).cpu().numpy()) for made in found]

    def _dense(self, logits: Tensor, targets: Tensor) -> _DenseRows:
        below, p = (room[: len(logits)] for room in self._room[:2])
        first, log_total = _distribution(logits, below, p)
        at = below.gather(1, targets[:, None])[:, 0] - log_total
        return _DenseRows(below, p, first, log_total, at, below.sum(-1), _dot(below, below), _dot(p, p))

    def _against(self, dense: _DenseRows, logits: Tensor, logits_pruned: Tensor, targets: Tensor) -> list[Tensor]:
        change, q, weighted = (room[: len(logits)] for room in self._room[2:])
        first, log_total = _distribution(logits_pruned, change, q)
        at = change.gather(1, targets[:, None])[:, 0] - log_total
        below_first = change.gather(1, dense.first[:, None])
        ahead = _ahead(change, below_first, dense.first, first)
        finite_pruned = torch.isfinite(change.sum(-1))
        change.sub_(dense.below)
        constant = log_total - dense.log_total
        p_change, q_change = _dot(dense.p, change), _dot(q, change)
        square, along, total = _dot(change, change), _dot(dense.below, change), change.sum(-1)
        torch.mul(dense.p, change, out=weighted)
        variance = _dot(weighted, change) - p_change * p_change
        p_weighted = _dot(dense.p, weighted)
        variance_of_squares = _dot(weighted, weighted) - p_weighted * p_weighted / dense.square_p
        apart = q.sub_(dense.p)
        p_apart, square_apart = _dot(dense.p, apart), _dot(apart, apart)
        size = logits.shape[1]
        centred = dense.square - dense.sum * dense.sum / size
        centred_along = along - dense.sum * total / size
        centred_change = square - total * total / size
        same = (dense.first == first).double()
        return [
            torch.isfinite(dense.sum).double(),
            finite_pruned.double(),
            dense.at,
            at,
            (-dense.log_total).exp(),
            same,
            1 + ahead,
            _not_negative(constant - p_change),
            _not_negative(q_change - constant),
            _apart(centred, centred_along, centred_change),
            _apart(dense.square_p, p_apart, square_apart),
            _not_negative(variance_of_squares) / dense.square_p / 2,
            _not_negative(variance) / 2,
        ]


def _distribution(logits: Tensor, below: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Fills in z - max z and the probabilities; returns the top token and log Σ exp(z - max z), (n,) each."""
    largest, first = logits.max(-1, keepdim=True)
    below.copy_(logits)
    below.sub_(largest)
    torch.exp(below, out=p)
    total = p.sum(-1, keepdim=True)
    p.mul_(1 / total)
    return first[:, 0], total[:, 0].log()


def _ahead(below: Tensor, own: Tensor, token: Tensor, first: Tensor) -> Tensor:
    """How many logits are larger than a token's, or equal with a smaller id: 0 if it is the top token, so that most
    rows need no pass."""
    found = torch.zeros(len(below), dtype=torch.float64, device=below.device)
    if not below.is_cpu:
        ids = torch.arange(below.shape[1], device=below.device)
        return ((below > own) | ((below == own) & (ids < token[:, None]))).sum(-1).double()
    for row in torch.nonzero(token != first)[:, 0].tolist():
        at = int(token[row])
        found[row] = int((below[row, :at] >= own[row]).sum()) + int((below[row, at:] > own[row]).sum())
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


def _dot(a: Tensor, b: Tensor) -> Tensor:
    if a.is_cpu:  # BLAS writes no products into memory
        return torch.bmm(a.unsqueeze(1), b.unsqueeze(2))[:, 0, 0]
    return (a * b).sum(-1)


def _figures(sums: np.ndarray) -> PositionFigures:
    ok, ok2, log_p, log_q, top, same, rank, kl, reverse, z, p, p_estimate, kl_estimate, h, h_estimate = sums
    whole = np.isfinite(sums[2:]).all(0) & (ok > 0) & (ok2 > 0)
    finite = (np.where(whole, column, np.nan) for column in (log_p, log_q, top, same, rank, kl, reverse))
    spaces = (np.where(whole, column, np.nan) for column in (h, z, p, h_estimate, p_estimate, kl_estimate))
    return PositionFigures(ok, np.where(whole, 1.0, np.where(ok > 0, 0.0, ok2)), *finite, *spaces)
