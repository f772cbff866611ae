"""Sums of a comparison over the two models' vectors, computed on the device for all positions together.

`spaces` makes the figures from these sums, and has the notation. Every sum is (n, 1), in float64.

A GPU takes as long to start a small operation as to do it, so there are few of them, each over all positions. On a CPU
most of the time goes into passes over the vocabulary, and even more into allocating memory for them. Vectors of that
length are therefore written into a `scratch` that is used again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from probes.stepping.distribution import Distribution
from probes.system.float64 import to_float64

LOOKED_UP = 128
"""How many of each model's largest logits are sorted. The rank of a token among them needs no pass over the
vocabulary."""

DeviceSums = dict[str, Tensor]


def new_scratch(distribution: Distribution, positions: int = 1) -> Tensor:
    """Allocates memory for comparing such distributions: (3, positions at once, V), float64; on a CPU one position at
    once."""
    z = distribution.z
    return z.new_empty(3, 1 if z.is_cpu else positions, z.shape[1])


def measure(
    hidden: Tensor, hidden_pruned: Tensor, dense: Distribution, pruned: Distribution, scratch: Tensor
) -> DeviceSums:
    """Computes all sums, by name. `scratch` is overwritten."""
    scratch = scratch[:, : len(pruned)]
    return {
        **hidden_sums(hidden, hidden_pruned),
        **_logits(dense.z, pruned.z, scratch),
        **_probabilities(dense, pruned, scratch),
    }


def likeliest(dense: Distribution, pruned: Distribution, exact: int, *, in_order: bool = False) -> Tensor:
    """Finds the tokens with each model's largest logits: LOOKED_UP of them, or more if `exact` needs them.

    Each position's row holds their ids, those of the dense model first, and their z, z', p and q: (n, 5 · 2 · tokens).

    With `in_order`, equal logits are ordered by id, which needs a sort of all logits.
    """
    size = min(max(exact + 1, LOOKED_UP), pruned.z.shape[1])
    pair = (dense.z, pruned.z)
    if in_order:
        largest = [z.sort(descending=True, stable=True).indices[:, :size] for z in pair]
    else:
        largest = [z.topk(size).indices for z in pair]
    ids = torch.cat(largest, 1)
    return torch.cat([ids.double(), *(values.gather(1, ids) for values in (*pair, dense.p, pruned.p))], 1)


def count_ahead(logits: Tensor, tokens: Sequence[int]) -> list[Tensor]:
    """Counts the logits (V,) that are larger than each token's, or equal with a smaller id: each ()."""
    ahead = torch.empty_like(logits, dtype=torch.bool)
    counts = []
    for token in tokens:
        torch.ge(logits[:token], logits[token], out=ahead[:token])
        torch.gt(logits[token:], logits[token], out=ahead[token:])
        counts.append(ahead.sum(dtype=torch.int32))
    return counts


def hidden_sums(hidden: Tensor, hidden_pruned: Tensor) -> DeviceSums:
    """Computes the sums over the hidden states, (n, d) each."""
    h, h2 = to_float64(hidden), to_float64(hidden_pruned)
    room = torch.empty_like(h2)
    apart = _apart("h", h, h2, room)
    return {
        **apart,
        **_apart("dh", h, h2 - h, room, apart["h.square"]),
        "h.square_pruned": _dot(h2, h2),
    }


def _logits(z: Tensor, z2: Tensor, scratch: Tensor) -> DeviceSums:
    change, room, centred = scratch
    apart = _apart("z", z, z2, room)
    torch.sub(z2, z, out=change)
    split = _apart("dz", z, change, room, apart["z.square"])
    squares = _dot(change, change)
    torch.abs(change, out=room)
    sum_abs, max_abs = room.sum(-1, keepdim=True), room.amax(-1, keepdim=True)
    change.sub_(change.mean(-1, keepdim=True))
    squares_centred = _dot(change, change)
    torch.sub(z, z.mean(-1, keepdim=True), out=centred)
    centred2 = torch.sub(z2, z2.mean(-1, keepdim=True), out=change)
    return {
        **apart,
        **split,
        **_apart("cz", centred, centred2, room),
        "dz.squares": squares,
        "dz.squares_centred": squares_centred,
        "dz.sum_abs": sum_abs,
        "dz.max_abs": max_abs,
    }


def _probabilities(dense: Distribution, pruned: Distribution, scratch: Tensor) -> DeviceSums:
    p, q = dense.p, pruned.p
    change, room, rest = scratch
    apart = _apart("p", p, q, rest)
    distance = torch.sub(q, p, out=change).abs_().sum(-1, keepdim=True)

    # Each model's largest logit is subtracted first: with a huge logit, subtracting the models' logits would lose all
    # other digits.
    below2, below = pruned.below_largest(out=change), dense.below_largest(out=room)
    p_below, q_below2 = _dot(p, below), _dot(q, below2)
    # log q - log p, which is Δz/T plus a constant; the estimates are half its variance (Theorems 2 and 3).
    ratio = below2.sub_(below).sub_(pruned.log_total - dense.log_total)
    p_ratio, q_ratio = _dot(p, ratio), _dot(q, ratio)
    squares = torch.mul(p, p, out=room)
    variance = _dot(p, torch.sub(ratio, p_ratio, out=rest).square_())
    torch.sub(ratio, _dot(squares, ratio) / apart["p.square"], out=rest)
    variance_of_squares = _dot(squares, rest.square_())
    # log(m/p) = log((1 + e^r)/2) of m = (p + q)/2 and r = log(q/p); log(m/q) is less by r. Long before e^r overflows,
    # beyond r = 40, p is nothing beside q and log(m/q) is -log 2 to the last digits, so r is capped there.
    capped = torch.clamp_max(ratio, 40, out=room)
    middle = torch.expm1(capped, out=rest).mul_(0.5).log1p_()
    return {
        **apart,
        "p.distance": distance,
        "p.below": p_below,
        "q.below": q_below2,
        "p.ratio": p_ratio,
        "q.ratio": q_ratio,
        "p.variance": variance,
        "pp.variance": variance_of_squares,
        "p.middle": _dot(p, middle),
        "q.middle": _dot(q, middle),
        "q.capped": _dot(q, capped),
        "p.largest": dense.largest,
        "q.largest": pruned.largest,
        "p.log_total": dense.log_total,
        "q.log_total": pruned.log_total,
    }


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner products of the positions' vectors, (n, 1)."""
    if a.is_cpu:  # BLAS writes no products into memory
        return torch.bmm(a.unsqueeze(1), b.unsqueeze(2)).squeeze(2)
    return (a * b).sum(-1, keepdim=True)


def _apart(name: str, v: Tensor, v2: Tensor, room: Tensor, square: Tensor | None = None) -> DeviceSums:
    """‖v‖², ⟨v', v⟩ and the squared length of the part of v' orthogonal to v, for `_cosine`. `room` is overwritten."""
    square = _dot(v, v) if square is None else square
    along = _dot(v2, v)
    across = torch.addcmul(v2, v, along / square, value=-1, out=room)
    return {f"{name}.square": square, f"{name}.along": along, f"{name}.across": _dot(across, across)}
