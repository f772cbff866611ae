"""The three spaces of one step: pure functions of the two models' tensors at one position.

Notation, as in arXiv 2603.24652: `h`, `h'` enter the LM head; `z`, `z'` are the models' own output logits, Δz = z' - z;
p = softmax(z/T) and q = softmax(z'/T). Dense comes first and is the reference. Natural logarithms, so nats.

All sums are taken in float64 (on the host for devices that have none). Cosines are formed from the difference of
the unit vectors, cos = 1 - ‖u - u'‖²/2, so that 1 - cos keeps its digits near 1 and is exactly 0 for equal inputs.
No epsilon stands inside a logarithm: it would cap a divergence silently.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from probes.doubles import double
from probes.record import Comparison, HiddenFigures, LogitFigures, ProbabilityFigures, TopToken

LN2 = math.log(2)


class Distribution:
    """One model's next-token distribution: logits `z`, log-probabilities `lp` and probabilities `p`, float64, (V,)."""

    def __init__(self, logits: Tensor, temperature: float = 1.0) -> None:
        """`logits` (V,) are finite, of any floating dtype, on any device; `temperature` is T > 0."""
        self.temperature = temperature
        self.z = double(logits)
        self.lp = (self.z / temperature).log_softmax(0)
        self.p = self.lp.exp()

    def at(self, token_id: int) -> float:
        """The probability of a token."""
        return float(self.p[token_id])


def compare(
    hidden: Tensor,
    hidden_pruned: Tensor,
    dense: Distribution,
    pruned: Distribution,
    *,
    top: int = 10,
    piece: Callable[[int], str] = str,
) -> Comparison:
    """All figures of one pair of contexts.

    `hidden` and `hidden_pruned` are (d,) and finite, of any floating dtype, on any device; the two distributions
    are over one vocabulary at one temperature, the analysis temperature T. The `top` likeliest tokens of each model
    are kept; `piece` gives a token's text. Raises ValueError where shapes or temperatures differ.
    """
    _check(hidden, hidden_pruned)
    _check(dense.z, pruned.z)
    if dense.temperature != pruned.temperature:
        raise ValueError(f"temperatures {dense.temperature} and {pruned.temperature} can't be compared")
    temperature = dense.temperature
    z, lp, p = dense.z, dense.lp, dense.p
    z2, lq, q = pruned.z, pruned.lp, pruned.p
    dz = z2 - z
    k = min(top, z.numel())
    order, order2 = z.topk(max(k, min(5, z.numel()))).indices, z2.topk(k).indices
    terms = _kl_terms(p, lp, lq)
    kl = terms.sum().clamp_min(0)
    ids = torch.cat([order[:k], order2[~torch.isin(order2, order[:k])]])
    first, first2 = z.argmax(), z2.argmax()

    h_figures = _hidden(double(hidden), double(hidden_pruned))
    z_figures = _logits(z, z2, dz, order[:5])
    p_figures = [
        kl,
        _kl_terms(q, lq, lp).sum().clamp_min(0),
        _jensen_shannon(p, q, lp, lq),
        _total_variation(p, q),
        _cosine(p, q),
        _entropy(p, lp),
        _entropy(q, lq),
        _variance(p, dz) / (2 * temperature**2),
        _variance(p.square() / p.dot(p), dz) / (2 * temperature**2),
    ]
    counts = [_rank(z2, first), _rank(z, first2), torch.isin(order2, order[:k]).sum()]
    table = torch.stack(
        [ids.double(), p[ids], q[ids], z[ids], z2[ids], _ranks(z, ids, order), _ranks(z2, ids, order2), terms[ids]]
    )

    scalars = torch.stack([s.double() for s in (*h_figures, *z_figures, *p_figures, *counts)])
    values: list[float] = torch.cat([scalars, table.flatten()]).tolist()  # one wait for the device
    h, z_values, p_values = values[:6], values[6:16], values[16:25]
    rank_dense, rank_pruned, overlap = values[25:28]
    rows = [values[28 + i :: ids.numel()] for i in range(ids.numel())]
    total = p_values[0]
    return Comparison(
        h=HiddenFigures(*h),
        z=LogitFigures(*z_values),
        p=_probability_figures(p_values, int(rank_dense), int(rank_pruned), overlap / k),
        top=tuple(
            TopToken(
                token_id=int(token),
                token=piece(int(token)),
                p=p_i,
                q=q_i,
                z_dense=z_i,
                z_pruned=z2_i,
                rank_dense=int(r),
                rank_pruned=int(r2),
                kl_share=term / total if total > 0 else 0.0,
            )
            for token, p_i, q_i, z_i, z2_i, r, r2, term in sorted(rows, key=lambda row: -max(row[1], row[2]))
        ),
    )


def _probability_figures(v: list[float], rank_dense: int, rank_pruned: int, overlap: float) -> ProbabilityFigures:
    kl, kl_reverse, js, tv, cos, entropy, entropy2, kl_estimate, cos_estimate = v
    return ProbabilityFigures(
        kl, kl_reverse, js, tv, cos, entropy, entropy2, kl_estimate, cos_estimate, rank_dense, rank_pruned, overlap
    )


def _check(a: Tensor, b: Tensor) -> None:
    if a.dim() != 1 or a.shape != b.shape:
        raise ValueError(f"two vectors of one length are compared, not {tuple(a.shape)} and {tuple(b.shape)}")


def _hidden(h: Tensor, h2: Tensor) -> list[Tensor]:
    """cos, angle in degrees, ‖h'‖/‖h‖, the split of Δh along h, and Theorem 1: 1 - cos ≈ ‖Δh⊥‖² / (2‖h‖²)."""
    parallel, orthogonal = _split(h, h2 - h)
    u, u2 = h / h.norm(), h2 / h2.norm()
    # Kahan's form: exact 0 for equal vectors, and no loss of digits near 0 or 180 degrees.
    angle = torch.rad2deg(2 * torch.atan2((u - u2).norm(), (u + u2).norm()))
    return [_cosine(h, h2), angle, h2.norm() / h.norm(), parallel, orthogonal, orthogonal**2 / 2]


def _logits(z: Tensor, z2: Tensor, dz: Tensor, top5: Tensor) -> list[Tensor]:
    """Cosines raw and centred, then the distances of Δz in the order of `LogitFigures`."""
    parallel, orthogonal = _split(z, dz)
    squares = dz.square()
    return [
        _cosine(z, z2),
        _cosine(z - z.mean(), z2 - z2.mean()),
        squares.sum().sqrt(),
        squares.mean().sqrt(),
        (dz - dz.mean()).square().mean().sqrt(),
        dz.abs().mean(),
        dz.abs().max(),
        squares[top5].mean().sqrt(),
        parallel,
        orthogonal,
    ]


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """1 - ‖a/‖a‖ - b/‖b‖‖² / 2; undefined (nan) where exactly one vector is 0, and 1 where both are."""
    cosine = 1 - (a / a.norm() - b / b.norm()).square().sum() / 2
    return torch.where(a.eq(b).all(), torch.ones_like(cosine), cosine)


def _split(v: Tensor, dv: Tensor) -> tuple[Tensor, Tensor]:
    """|α| and ‖Δv - αv‖/‖v‖ with α = ⟨Δv, v⟩/‖v‖²."""
    alpha = dv.dot(v) / v.dot(v)
    return alpha.abs(), (dv - alpha * v).norm() / v.norm()


def _kl_terms(p: Tensor, lp: Tensor, lq: Tensor) -> Tensor:
    """p (log p - log q), with 0 · log 0 = 0."""
    return p * (lp - lq)  # finite logits give finite log-probabilities, so an underflowed p is a plain 0


def _jensen_shannon(p: Tensor, q: Tensor, lp: Tensor, lq: Tensor) -> Tensor:
    """½ KL(p‖m) + ½ KL(q‖m) with m = (p + q)/2, each through log(m/p) = log((1 + q/p)/2)."""
    d = lq - lp
    # log((1 + e^d)/2): exactly 0 at 0, and no overflow for large d; for -d it is less by d.
    near = torch.log1p(torch.expm1(d.clamp_max(40)) / 2)
    up, down = torch.where(d > 40, d - LN2, near), torch.where(d > 40, -LN2, near - d)
    return (-p.dot(up) - q.dot(down)).clamp_min(0) / 2 + 0.0  # and not -0


def _total_variation(p: Tensor, q: Tensor) -> Tensor:
    return ((p - q).abs().sum() / 2).clamp_max(1)


def _entropy(p: Tensor, lp: Tensor) -> Tensor:
    return -p.dot(lp) + 0.0  # and not -0


def _variance(weights: Tensor, dz: Tensor) -> Tensor:
    """Variance of Δz under a distribution."""
    return weights.dot((dz - weights.dot(dz)).square())


def _ranks(z: Tensor, tokens: Tensor, top: Tensor) -> Tensor:
    """The rank of each token, as float64; `top` are the largest logits' tokens, among which ranks need no counting."""
    known = torch.isin(tokens, top)
    ranks = (z[top] > z[tokens].unsqueeze(1)).sum(1).double() + 1
    rest = tokens[~known]
    return ranks.index_put_((~known,), _rank(z, rest)) if rest.numel() else ranks


def _rank(z: Tensor, tokens: Tensor) -> Tensor:
    """1 + how many logits are larger; shape of `tokens`, as float64."""
    if tokens.dim() == 0:
        return (z > z[tokens]).sum().double() + 1
    return torch.stack([(z > z[token]).sum() for token in tokens]).double() + 1
