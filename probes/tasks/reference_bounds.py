"""What a reference keeps of the dense distribution at a position, and the bounds of the KL that follow from it.

Kept are the largest logits of the dense model, its log Σ exp z, and of all other tokens, the tail T, the mass
t = Σ p and the entropy H = -Σ p log p. With q known, KL(p‖q) = Σ over the kept tokens of p log(p/q), which is exact,
less H, plus the cross-entropy X = -Σ over T of p log q, which is bounded. Let r = p/t on T, so that its entropy is
h = H/t + log t. For every distribution r, every vector x and every β > 0 (Gibbs' variational principle)

    h + β Σ r x <= log Σ exp(β x)

With x = -log q it bounds X = t Σ r x from above: X <= (t/β)(log Σ q^-β - h); β = 1/2, 1, and β to infinity, which is
-t log min q. With x = log q, from below: X >= (t/β)(h - log Σ q^β); β = 1 is what lumping the tail into one token gives
(t log(t / Σ q), by the data-processing inequality), and β = 1/2. The best of each are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from probes.system.float64 import to_float64
from probes.tasks.position_sums import ROWS


@dataclass(frozen=True, slots=True, eq=False)
class KeptRows:
    """What is kept of the dense model at n positions, in float64 unless said."""

    ids: Tensor
    """(n, k), the tokens with the largest logits, the largest first; int64."""
    logits: Tensor
    """(n, k), as the model computed them, in its dtype."""
    log_total: Tensor
    """log Σ exp z, (n,)"""
    tail: Tensor
    """t, (n,)"""
    tail_entropy: Tensor
    """H, (n,)"""
    log_p: Tensor
    """log p of the text's token, (n,)"""

    @classmethod
    def joined(cls, parts: Sequence[KeptRows]) -> KeptRows:
        """Those of all positions, in order."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __getitem__(self, rows: slice) -> KeptRows:
        return KeptRows(*(getattr(self, field.name)[rows] for field in fields(self)))


def keep_rows(logits: Tensor, targets: Tensor, top: int) -> KeptRows:
    """Keeps the `top` largest logits of each row of (n, V). NaN where the model is not finite."""
    return KeptRows.joined([_keep(logits[rows], targets[rows], top) for rows in _blocks(logits)])


def _blocks(logits: Tensor) -> list[slice]:
    """Rows that are worked on at once: on a CPU few, so that their float64 vectors stay small."""
    size = ROWS if logits.is_cpu else len(logits)
    return [slice(start, start + size) for start in range(0, len(logits), size)]


def _keep(logits: Tensor, targets: Tensor, top: int) -> KeptRows:
    z = to_float64(logits)
    largest, ids = logits.topk(min(top, logits.shape[1]), dim=-1)
    below = z - z.amax(-1, keepdim=True)
    p = below.exp()
    total = p.sum(-1, keepdim=True)
    p /= total
    log_total = total.log()
    p.scatter_(1, ids, 0.0)
    tail = p.sum(-1)
    entropy = log_total[:, 0] * tail - (p * below).sum(-1)
    log_p = below.gather(1, targets[:, None])[:, 0] - log_total[:, 0]
    bad = ~torch.isfinite(z.sum(-1))
    kept = (log_total[:, 0] + z.amax(-1), tail, entropy, log_p)
    return KeptRows(ids, largest, *(torch.where(bad, torch.nan, one) for one in kept))


@dataclass(frozen=True, slots=True, eq=False)
class BoundedRows:
    """n positions of a second model against what was kept, each (n,), in float64."""

    lower: np.ndarray
    upper: np.ndarray
    log_q: np.ndarray
    """Of the text's token."""
    same_top: np.ndarray
    finite: np.ndarray


@torch.inference_mode()
def bound_rows(kept: KeptRows, logits: Tensor, targets: Tensor) -> BoundedRows:
    """The bounds of KL(p‖q) for a second model's logits, (n, V), of the same positions. NaN where `kept` is."""
    parts = [_bound(kept[rows], logits[rows], targets[rows]) for rows in _blocks(logits)]
    return BoundedRows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _bound(kept: KeptRows, logits: Tensor, targets: Tensor) -> list[np.ndarray]:
    z = to_float64(logits)
    first = logits.max(-1).indices
    below = z - z.amax(-1, keepdim=True)
    log_q = below - below.exp().sum(-1, keepdim=True).log()
    log_p = to_float64(kept.logits) - kept.log_total[:, None]
    head = (log_p.exp() * (log_p - log_q.gather(1, kept.ids))).sum(-1)
    t, entropy = kept.tail, kept.tail_entropy
    inside = torch.ones_like(log_q, dtype=torch.bool).scatter_(1, kept.ids, False)
    low = torch.where(inside, log_q, -torch.inf)
    high = torch.where(inside, -log_q, -torch.inf)
    h = entropy / t + t.log()
    most = high.amax(-1)
    above = torch.stack([most, _log_sum(high, 1.0) - h, 2 * (_log_sum(high, 0.5) - h)]).amin(0)
    under = torch.stack([h - _log_sum(low, 1.0), 2 * (h - _log_sum(low, 0.5))]).amax(0)
    empty = t <= 0
    lower, upper = (head + torch.where(empty, 0.0, t * each - entropy) for each in (under, above))
    lower = torch.clamp(lower, min=0.0)
    finite = torch.isfinite(z.sum(-1))
    at = log_q.gather(1, targets[:, None])[:, 0]
    columns = (lower, torch.maximum(lower, upper), at, (first == kept.ids[:, 0]).double(), finite.double())
    return [column.cpu().numpy() for column in columns]


def _log_sum(values: Tensor, beta: float) -> Tensor:
    """log Σ exp(βx)"""
    return torch.logsumexp(beta * values, -1)
