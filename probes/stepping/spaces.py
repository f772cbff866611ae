"""The three spaces of one step: pure functions of the two models' tensors at one position.

Notation, as in arXiv 2603.24652: `h`, `h'` enter the LM head; `z`, `z'` are the models' own output logits, Δz = z' - z;
p = softmax(z/T) and q = softmax(z'/T). Dense comes first and is the reference. Natural logarithms, so nats.

All sums are taken in float64 (on the host for devices that have none). Cosines are formed from the difference of
the unit vectors, cos = 1 - ‖u - u'‖²/2, so that 1 - cos keeps its digits near 1 and is exactly 0 for equal inputs.
No epsilon stands inside a logarithm: it would cap a divergence silently.

What takes the time is walking over the vocabulary, and still more being given fresh memory for it. Vectors of that
length are therefore overwritten in a `scratch` that a caller may keep from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from probes.schema.record import Comparison, HiddenFigures, LogitFigures, ProbabilityFigures, TopToken
from probes.system.float64 import to_float64

LN2 = math.log(2)

LOOKED_UP = 128
"""Largest logits of each model that are sorted: a token among them needs no walk over the vocabulary for its rank."""


class Distribution:
    """One model's next-token distribution: logits `z` and probabilities `p`, float64, (V,)."""

    def __init__(self, logits: Tensor, temperature: float = 1.0) -> None:
        """`logits` (V,) are finite, of any floating dtype, on any device; `temperature` is T > 0."""
        self.temperature = temperature
        self.z = to_float64(logits)
        self.largest, self.first = self.z.max(0)
        """The largest logit, and the first token that has it: both ()."""
        self.p = (self.z - self.largest).mul_(1 / temperature).exp_()
        total = self.p.sum()
        self.p.mul_(1 / total)
        self.log_total = total.log()
        """log Σ exp((z - largest)/T): what log p lies below (z - largest)/T."""

    @property
    def tied(self) -> bool:
        """Do several tokens have the largest logit? Greedy decoding then takes the first of them."""
        return int((self.z == self.largest).sum()) > 1

    def at(self, token_id: int) -> float:
        """The probability of a token."""
        return float(self.p[token_id])

    def log_at(self, token_id: int) -> float:
        """The logarithm of a token's probability, in nats: finite also where that itself is too small for a number."""
        return float((self.z[token_id] - self.largest) / self.temperature - self.log_total)


def new_scratch(distribution: Distribution) -> Tensor:
    """Room for comparing distributions over as many tokens on the same device: (3, V), float64."""
    return torch.empty(3, distribution.z.numel(), dtype=torch.float64, device=distribution.z.device)


def compare(
    hidden: Tensor,
    hidden_pruned: Tensor,
    dense: Distribution,
    pruned: Distribution,
    *,
    top: int = 10,
    listed: int | None = None,
    piece: Callable[[int], str] = str,
    scratch: Tensor | None = None,
) -> Comparison:
    """All figures of one pair of contexts.

    `hidden` and `hidden_pruned` are (d,) and finite, of any floating dtype, on any device; the two distributions
    are over one vocabulary at one temperature, the analysis temperature T. `topk_overlap` is of the `top` likeliest
    tokens of each model; the table has the first `listed` of them (None: all). `piece` gives a token's text. `scratch`
    (`new_scratch`) is overwritten. Raises ValueError where shapes or temperatures differ.
    """
    _check(hidden, hidden_pruned)
    _check(dense.z, pruned.z)
    if dense.temperature != pruned.temperature:
        raise ValueError(f"temperatures {dense.temperature} and {pruned.temperature} can't be compared")
    scratch = new_scratch(dense) if scratch is None else scratch
    if scratch.shape != (3, dense.z.numel()):
        raise ValueError(f"a scratch for other distributions, {tuple(scratch.shape)}")
    z, z2, p, q = dense.z, pruned.z, dense.p, pruned.p
    k = min(top, z.numel())
    largest, largest2 = _largest(z, k), _largest(z2, k)
    order, order2 = largest[:k], largest2[:k]
    first, first2 = order[:listed], order2[:listed]
    ids = torch.cat([first, first2[~torch.isin(first2, first)]])

    h_figures = _hidden(to_float64(hidden), to_float64(hidden_pruned))
    z_figures = _logits(z, z2, largest[:5], scratch)
    p_figures, terms = _probabilities(dense, pruned, ids, scratch)
    ranks = _ranks(z, torch.cat([ids, pruned.first[None]]), largest)
    ranks2 = _ranks(z2, torch.cat([ids, dense.first[None]]), largest2)
    counts = [ranks2[-1], ranks[-1], torch.isin(order2, order).sum()]
    table = torch.stack([ids.double(), p[ids], q[ids], z[ids], z2[ids], ranks[:-1], ranks2[:-1], terms])

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
            for token, p_i, q_i, z_i, z2_i, r, r2, term in sorted(rows, key=lambda row: (-max(row[1], row[2]), row[0]))
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
    room = torch.empty_like(h)
    parallel, orthogonal = _split(h, h2 - h, room)
    u, u2 = h / h.norm(), h2 / h2.norm()
    # Kahan's form: exact 0 for equal vectors, and no loss of digits near 0 or 180 degrees.
    angle = torch.rad2deg(2 * torch.atan2((u - u2).norm(), (u + u2).norm()))
    return [_cosine(h, h2, room), angle, h2.norm() / h.norm(), parallel, orthogonal, orthogonal**2 / 2]


def _logits(z: Tensor, z2: Tensor, top5: Tensor, scratch: Tensor) -> list[Tensor]:
    """Cosines raw and centred, then the distances of Δz in the order of `LogitFigures`."""
    change, room, centred = scratch
    cosine = _cosine(z, z2, room)
    torch.sub(z2, z, out=change)
    parallel, orthogonal = _split(z, change, room)
    squares, top5_rms = change.dot(change), change[top5].square().mean().sqrt()
    torch.abs(change, out=room)
    mean_abs, max_abs = room.mean(), room.amax()
    change.sub_(change.mean())
    rms_centred = (change.dot(change) / z.numel()).sqrt()
    torch.sub(z, z.mean(), out=centred)
    centred2 = torch.sub(z2, z2.mean(), out=change)
    return [
        cosine,
        _cosine(centred, centred2, room),
        squares.sqrt(),
        (squares / z.numel()).sqrt(),
        rms_centred,
        mean_abs,
        max_abs,
        top5_rms,
        parallel,
        orthogonal,
    ]


def _probabilities(
    dense: Distribution, pruned: Distribution, ids: Tensor, scratch: Tensor
) -> tuple[list[Tensor], Tensor]:
    """The figures in the order of `ProbabilityFigures`, up to the theorem's estimates; and the KL's terms at `ids`."""
    p, q, temperature = dense.p, pruned.p, dense.temperature
    change, room, rest = scratch
    cosine = _cosine(p, q, rest)
    tv = (torch.sub(q, p, out=change).abs_().sum() / 2).clamp_max(1)

    # Each model's logits against its own largest one first: beside a huge one, the difference of the two would lose all
    # the others.
    torch.sub(pruned.z, pruned.largest, out=change).mul_(1 / temperature)
    torch.sub(dense.z, dense.largest, out=room).mul_(1 / temperature)
    entropies = [dense.log_total - p.dot(room), pruned.log_total - q.dot(change)]
    # log q - log p, which is Δz/T but for a constant: the estimates are half its variance (Theorems 2 and 3).
    ratio = change.sub_(room).sub_(pruned.log_total - dense.log_total)
    estimates = [_variance(p, ratio, rest) / 2, _variance(torch.mul(p, p, out=room), ratio, rest) / 2]
    kl, kl_reverse = -p.dot(ratio), q.dot(ratio)
    js = _jensen_shannon(p, q, ratio, room, rest)
    divergences = [figure.clamp_min(0) + 0.0 for figure in (kl, kl_reverse, js)]  # and not -0
    return [*divergences, tv, cosine, *entropies, *estimates], 0.0 - p[ids] * ratio[ids]


def _cosine(v: Tensor, v2: Tensor, room: Tensor) -> Tensor:
    """1 - ‖u - u'‖²/2 of the unit vectors; undefined (nan) where exactly one vector is 0, and 1 where both are.

    In the plane of the two, in lengths of v, they are (1, 0) and (β, ‖v' - βv‖/‖v‖) with β = ⟨v', v⟩/‖v‖². `room`
    is overwritten.
    """
    square = v.dot(v)
    along = v2.dot(v) / square
    rest = torch.sub(v2, torch.mul(v, along, out=room), out=room)
    across = (rest.dot(rest) / square).sqrt()
    length = torch.hypot(along, across)
    cosine = 1 - ((1 - along / length).square() + (across / length).square()) / 2
    return torch.where((square == 0) & (v2.dot(v2) == 0), torch.ones_like(cosine), cosine)


def _split(v: Tensor, dv: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """|α| and ‖Δv - αv‖/‖v‖ with α = ⟨Δv, v⟩/‖v‖²; `room` is overwritten."""
    square = v.dot(v)
    alpha = dv.dot(v) / square
    rest = torch.sub(dv, torch.mul(v, alpha, out=room), out=room)
    return alpha.abs(), (rest.dot(rest) / square).sqrt()


def _jensen_shannon(p: Tensor, q: Tensor, ratio: Tensor, capped: Tensor, near: Tensor) -> Tensor:
    """½ KL(p‖m) + ½ KL(q‖m) with m = (p + q)/2, from r = log(q/p): log(m/p) = log((1 + e^r)/2), and log(m/q) is
    less by r. The last two arguments are overwritten.

    It is exactly 0 for r = 0. Long before e^r overflows, beyond r = 40, p is nothing beside q and log(m/q) is -log 2 to
    the last digits, so r is capped there.
    """
    torch.clamp_max(ratio, 40, out=capped)
    torch.expm1(capped, out=near).mul_(0.5).log1p_()
    return ((p.dot(near) + (q.dot(near) - q.dot(capped))) / -2).clamp_max(LN2)


def _variance(weights: Tensor, values: Tensor, room: Tensor) -> Tensor:
    """Variance of the values under the distribution that the weights are proportional to; `room` is overwritten."""
    total = weights.sum()
    torch.sub(values, weights.dot(values) / total, out=room)
    return weights.dot(room.square_()) / total


def _largest(z: Tensor, exact: int) -> Tensor:
    """The tokens of the largest logits: LOOKED_UP, or more if `exact` needs them.

    The first `exact` are in order, by their logits, and equals by their ids: greedy decoding takes the first of equals.
    """
    size = min(max(exact + 1, LOOKED_UP), z.numel())
    values, ids = z.topk(size)
    if size < z.numel() and bool(values[exact - 1] == values[-1]):  # equals of these may be among the others
        return z.sort(descending=True, stable=True).indices[:size]
    ids = ids.sort().values
    return ids[z[ids].sort(descending=True, stable=True).indices]


def _ranks(z: Tensor, tokens: Tensor, top: Tensor) -> Tensor:
    """1 + how many logits are larger than each token's, or equal and of a smaller id, as float64.

    `top` are the tokens of the largest logits in order, among which ranks need no counting.
    """
    known = z[tokens] > z[top[-1]]
    ranks = (top == tokens.unsqueeze(1)).double().argmax(1)
    counts = [(z[:token] >= z[token]).sum() + (z[token + 1 :] > z[token]).sum() for token in tokens[~known].tolist()]
    if counts:
        ranks[~known] = torch.stack(counts)
    return ranks.double() + 1
