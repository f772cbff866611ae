"""The three spaces: pure functions of the two models' tensors at one or more positions.

Notation, as in arXiv 2603.24652: `h`, `h'` enter the LM head; `z`, `z'` are the models' own output logits, Δz = z' - z;
p = softmax(z/T) and q = softmax(z'/T). Dense comes first and is the reference. Natural logarithms, so nats.

All sums are taken in float64 (on the host for devices that have none). Cosines are formed from the difference of
the unit vectors, cos = 1 - ‖u - u'‖²/2, so that 1 - cos keeps its digits near 1 and is exactly 0 for equal inputs.
There is no epsilon inside a logarithm: it would cap a divergence silently.

Most of the time goes into walking over the vocabulary, and even more into allocating memory for it. Vectors of that
length are therefore overwritten in a `scratch` that a caller may keep from step to step, one position after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True)
class Position:
    """What both models give after one pair of contexts."""

    hidden: Tensor
    """(d,), finite, of any floating dtype, on any device; like `hidden_pruned`."""
    hidden_pruned: Tensor
    dense: Distribution
    pruned: Distribution
    """Over the same vocabulary and at the same temperature: the analysis temperature T."""
    listed: int | None = None
    """The table holds so many of each model's likeliest tokens; None holds all that are compared."""


def compare(
    positions: Sequence[Position],
    *,
    top: int = 10,
    piece: Callable[[int], str] = str,
    scratch: Tensor | None = None,
) -> list[Comparison]:
    """All figures of some positions, one comparison each, with one wait for the device.

    `topk_overlap` is of the `top` likeliest tokens of each model. `piece` gives a token's text. `scratch`
    (`new_scratch`) is overwritten. Raises ValueError if shapes or temperatures differ.

    A second wait is needed only to count the rank of a token that is likely to one model and far down in the other, and
    to order more equal logits than are looked up.
    """
    for one in positions:
        _check(one.hidden, one.hidden_pruned)
        _check(one.dense.z, one.pruned.z)
        if one.dense.temperature != one.pruned.temperature:
            raise ValueError(f"temperatures {one.dense.temperature} and {one.pruned.temperature} can't be compared")
    found = _on_host([_measure(one, top, scratch) for one in positions])
    crowded = [place for place, one in enumerate(positions) if found[place].crowded(top, one.dense.z.numel())]
    again = _on_host([_measure(positions[place], top, scratch, in_order=True) for place in crowded])
    for place, measured in zip(crowded, again, strict=True):
        found[place] = measured
    return [_comparison(one, measured, top, piece) for one, measured in zip(positions, found, strict=True)]


class _Token(NamedTuple):
    """One of the likeliest tokens of a model, as both models have it."""

    token_id: float
    z_dense: float
    z_pruned: float
    p: float
    q: float
    term: float
    """Its summand of KL(p‖q)."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """A position on the host: figures by their names in the record, and each model's likeliest tokens in order."""

    figures: dict[str, float]
    dense: list[_Token]
    pruned: list[_Token]

    def crowded(self, top: int, vocabulary: int) -> bool:
        """True if logits equal to the last of the top k may not have been looked up."""
        last = min(top, vocabulary) - 1
        cut = len(self.dense) < vocabulary
        equal = self.dense[last].z_dense == self.dense[-1].z_dense
        return cut and (equal or self.pruned[last].z_pruned == self.pruned[-1].z_pruned)


def _measure(
    one: Position, top: int, scratch: Tensor | None, *, in_order: bool = False
) -> tuple[dict[str, Tensor], Tensor]:
    """All that needs the device: figures by name, and a table of `_Token`s as columns, the dense model's first."""
    dense, pruned = one.dense, one.pruned
    scratch = new_scratch(dense) if scratch is None else scratch
    if scratch.shape != (3, dense.z.numel()):
        raise ValueError(f"a scratch for other distributions, {tuple(scratch.shape)}")
    ids = torch.cat([_largest(dense.z, top, in_order), _largest(pruned.z, top, in_order)])
    probabilities, terms = _probabilities(dense, pruned, ids, scratch)
    groups = {
        "h": _hidden(to_float64(one.hidden), to_float64(one.hidden_pruned)),
        "z": _logits(dense.z, pruned.z, scratch),
        "p": probabilities,
    }
    figures = {f"{group}.{name}": figure for group, found in groups.items() for name, figure in found.items()}
    rows = [ids.double(), dense.z[ids], pruned.z[ids], dense.p[ids], pruned.p[ids], terms]
    return figures, torch.stack(rows)


def _on_host(measured: Sequence[tuple[dict[str, Tensor], Tensor]]) -> list[_Measured]:
    """What was measured, brought over in one piece."""
    if not measured:
        return []
    pieces = [torch.cat([torch.stack(list(figures.values())), table.flatten()]) for figures, table in measured]
    numbers = iter(torch.cat(pieces).tolist())  # one wait for the device
    found = []
    for figures, table in measured:
        named = {name: next(numbers) for name in figures}
        columns = [list(islice(numbers, table.shape[1])) for _ in _Token._fields]
        tokens = list(map(_Token._make, zip(*columns, strict=True)))
        half = len(tokens) // 2
        dense = sorted(tokens[:half], key=lambda token: (-token.z_dense, token.token_id))
        pruned = sorted(tokens[half:], key=lambda token: (-token.z_pruned, token.token_id))
        found.append(_Measured(named, dense, pruned))
    return found


def _comparison(one: Position, found: _Measured, top: int, piece: Callable[[int], str]) -> Comparison:
    k = min(top, one.dense.z.numel())
    dense, pruned = found.dense[:k], found.pruned[:k]
    table = {int(token.token_id): token for token in (*dense[: one.listed], *pruned[: one.listed])}
    first, first_pruned = int(dense[0].token_id), int(pruned[0].token_id)
    ranks = _ranks(one.dense.z, [(int(t.token_id), t.z_dense) for t in found.dense], {*table, first_pruned})
    ranks_pruned = _ranks(one.pruned.z, [(int(t.token_id), t.z_pruned) for t in found.pruned], {*table, first})
    shared = {token.token_id for token in dense} & {token.token_id for token in pruned}

    def group(name: str) -> dict[str, float]:
        return {key[2:]: figure for key, figure in found.figures.items() if key.startswith(f"{name}.")}

    p = ProbabilityFigures(
        **group("p"),
        rank_dense_in_pruned=ranks_pruned[first],
        rank_pruned_in_dense=ranks[first_pruned],
        topk_overlap=len(shared) / k,
    )
    changes = [token.z_pruned - token.z_dense for token in found.dense[:5]]
    top5_rms = math.sqrt(math.fsum(change * change for change in changes) / len(changes))
    rows = sorted(table.items(), key=lambda row: (-max(row[1].p, row[1].q), row[0]))
    return Comparison(
        h=HiddenFigures(**group("h")),
        z=LogitFigures(**group("z"), top5_rms=top5_rms),
        p=p,
        top=tuple(
            TopToken(
                token_id=token_id,
                token=piece(token_id),
                p=token.p,
                q=token.q,
                z_dense=token.z_dense,
                z_pruned=token.z_pruned,
                rank_dense=ranks[token_id],
                rank_pruned=ranks_pruned[token_id],
                kl_share=token.term / p.kl if p.kl > 0 else 0.0,
            )
            for token_id, token in rows
        ),
    )


def _check(a: Tensor, b: Tensor) -> None:
    if a.dim() != 1 or a.shape != b.shape:
        raise ValueError(f"two vectors of one length are compared, not {tuple(a.shape)} and {tuple(b.shape)}")


def _hidden(h: Tensor, h2: Tensor) -> dict[str, Tensor]:
    """The figures of `HiddenFigures`; Theorem 1 is 1 - cos ≈ ‖Δh⊥‖² / (2‖h‖²)."""
    room = torch.empty_like(h)
    parallel, orthogonal = _split(h, h2 - h, room)
    u, u2 = h / h.norm(), h2 / h2.norm()
    # Kahan's form: exact 0 for equal vectors, and no loss of digits near 0 or 180 degrees.
    angle = torch.rad2deg(2 * torch.atan2((u - u2).norm(), (u + u2).norm()))
    return {
        "cos": _cosine(h, h2, room),
        "angle": angle,
        "length_ratio": h2.norm() / h.norm(),
        "parallel": parallel,
        "orthogonal": orthogonal,
        "cos_estimate": orthogonal**2 / 2,
    }


def _logits(z: Tensor, z2: Tensor, scratch: Tensor) -> dict[str, Tensor]:
    """The figures of `LogitFigures` that are of the whole vocabulary."""
    change, room, centred = scratch
    cosine = _cosine(z, z2, room)
    torch.sub(z2, z, out=change)
    parallel, orthogonal = _split(z, change, room)
    squares = change.dot(change)
    torch.abs(change, out=room)
    mean_abs, max_abs = room.mean(), room.amax()
    change.sub_(change.mean())
    rms_centred = (change.dot(change) / z.numel()).sqrt()
    torch.sub(z, z.mean(), out=centred)
    centred2 = torch.sub(z2, z2.mean(), out=change)
    return {
        "cos": cosine,
        "cos_centred": _cosine(centred, centred2, room),
        "l2": squares.sqrt(),
        "rms": (squares / z.numel()).sqrt(),
        "rms_centred": rms_centred,
        "mean_abs": mean_abs,
        "max_abs": max_abs,
        "parallel": parallel,
        "orthogonal": orthogonal,
    }


def _probabilities(
    dense: Distribution, pruned: Distribution, ids: Tensor, scratch: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """The figures of `ProbabilityFigures` that are of the whole vocabulary, and the KL's terms at `ids`."""
    p, q, temperature = dense.p, pruned.p, dense.temperature
    change, room, rest = scratch
    cosine = _cosine(p, q, rest)
    tv = (torch.sub(q, p, out=change).abs_().sum() / 2).clamp_max(1)

    # Each model's logits against its own largest one first: beside a huge one, the difference of the two would lose all
    # the others.
    torch.sub(pruned.z, pruned.largest, out=change).mul_(1 / temperature)
    torch.sub(dense.z, dense.largest, out=room).mul_(1 / temperature)
    entropy_dense, entropy_pruned = dense.log_total - p.dot(room), pruned.log_total - q.dot(change)
    # log q - log p, which is Δz/T but for a constant: the estimates are half its variance (Theorems 2 and 3).
    ratio = change.sub_(room).sub_(pruned.log_total - dense.log_total)
    kl_estimate, cos_estimate = _variance(p, ratio, rest) / 2, _variance(torch.mul(p, p, out=room), ratio, rest) / 2
    divergences = {"kl": -p.dot(ratio), "kl_reverse": q.dot(ratio), "js": _jensen_shannon(p, q, ratio, room, rest)}
    figures = {
        **{name: figure.clamp_min(0) + 0.0 for name, figure in divergences.items()},  # and not -0
        "tv": tv,
        "cos": cosine,
        "entropy_dense": entropy_dense,
        "entropy_pruned": entropy_pruned,
        "kl_estimate": kl_estimate,
        "cos_estimate": cos_estimate,
    }
    return figures, 0.0 - p[ids] * ratio[ids]


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


def _largest(z: Tensor, exact: int, in_order: bool) -> Tensor:
    """The tokens of the largest logits: LOOKED_UP, or more if `exact` needs them.

    With `in_order`, of equal logits those with the smallest ids, which takes sorting all of them.
    """
    size = min(max(exact + 1, LOOKED_UP), z.numel())
    return z.sort(descending=True, stable=True).indices[:size] if in_order else z.topk(size).indices


def _ranks(z: Tensor, largest: Sequence[tuple[int, float]], tokens: Iterable[int]) -> dict[int, int]:
    """By token, 1 + how many logits are larger than its own, or equal and of a smaller id.

    `largest` are the largest logits in order, with their tokens. Only a token that is not above the last of them is
    counted on the device.
    """
    ranks = {token: place for place, (token, logit) in enumerate(largest, 1) if logit > largest[-1][1]}
    unknown = [token for token in tokens if token not in ranks]
    if unknown:
        counts = [(z[:token] >= z[token]).sum() + (z[token + 1 :] > z[token]).sum() for token in unknown]
        ranks |= zip(unknown, (count + 1 for count in torch.stack(counts).tolist()), strict=True)
    return ranks
