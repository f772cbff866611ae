"""Measures whether a step breaks by what is computed now or by what is remembered, and from where that is read.

Either model reads the step's last token on either model's cache. A cache is what stepping has filled, so an exact copy
gives exactly 0. Then the dense cache of one earlier position after another is restored in the pruned run, many of them
in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from probes.explain.caches import TwoCaches, two_caches
from probes.explain.swaps import mean_kl
from probes.schema.errors import Failure
from probes.schema.foreign_text import said
from probes.schema.quadrants import BLAMED, NO_DAMAGE, Blame, CachePosition, Quadrants
from probes.stepping.cached_model import CachedModel, NextTokenOutput
from probes.stepping.distribution import Distribution
from probes.system.progress import UNWATCHED, Work

TRIED = 32
"""The most positions that are restored."""
RESTORING = "Restoring the cache"
_ROWS = 16
"""The most positions that one pass restores, and the most memory that their caches may take."""
_BYTES = 256 << 20


def measure_quadrants(
    dense: CachedModel,
    pruned: CachedModel,
    context: Sequence[int],
    *,
    most: int = TRIED,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    piece: Callable[[int], str] = str,
    work: Work = UNWATCHED,
    notes: list[str] | None = None,
) -> Quadrants:
    """The four combinations of weights and cache at the step that follows `context`, and what restoring the dense cache
    of single positions takes away, for at most `most` of them.

    Distributions are over the ids below `vocabulary`; KL is in nats. Both models keep their own caches. Sentences that
    a reader must know are added to `notes`. Raises `BadInput` if the caches can't be exchanged, `Failure` if a model
    computes NaN or infinity or if the dense model on a copy of its own cache gives another answer; `Cancelled`.
    """
    work.check(RESTORING)
    dense, pruned = dense.apart(), pruned.apart()
    caches = two_caches(dense, pruned, context)
    reference = Distribution(_finite(dense, context, dense.read([context]), "dense")[:, :vocabulary], temperature)

    def kl(reader: CachedModel, output: NextTokenOutput, name: str) -> list[float]:
        work.check(RESTORING)
        logits = _finite(reader, context, output, name)[:, :vocabulary].to(reference.z.device)
        return _kl(reference, Distribution(logits, temperature))

    (control,) = kl(dense, dense.read_on([context], caches.dense_again), "dense")
    if control != 0:
        raise Failure(
            "Control",
            f"On a copy of its own cache the dense model's KL is {control:g}, so caches can't be exchanged here.",
            "Use a CPU or another attention kernel.",
        )
    (both,) = kl(pruned, pruned.read([context]), "pruned")
    (weights,) = kl(pruned, pruned.read_on([context], caches.for_pruned), "pruned")
    (cache,) = kl(dense, dense.read_on([context], caches.for_dense), "dense")
    nothing: tuple[list[int], str] = [], ""
    positions, note = _candidates(pruned, context, caches, reference, vocabulary, most) if both > 0 else nothing
    found: list[CachePosition] = []
    rows = max(1, min(_ROWS, _BYTES // max(1, 2 * caches.row_bytes) - 1))
    while len(found) < len(positions) and rows:
        work.report(RESTORING, len(found), len(positions), "positions")
        some = positions[len(found) : len(found) + rows]
        try:
            contexts = [context] * (len(some) + 1)
            before, *after = kl(pruned, pruned.read_on(contexts, caches.restored(some)), "pruned")
        except (MemoryError, torch.OutOfMemoryError, Failure) as problem:
            if isinstance(problem, Failure) and not isinstance(problem.__cause__, torch.OutOfMemoryError):
                raise
            rows //= 2  # half as many at once, until not even one fits
            note = note if rows else f"Only {len(found)} positions of the cache were restored, because memory ran out."
            continue
        for position, left in zip(some, after, strict=True):
            token = context[position]
            found.append(CachePosition(position, token, piece(token), left, before - left))
    if notes is not None:
        notes += filter(None, [_silent(caches), note])
    found.sort(key=lambda one: -one.kl_drop)
    return Quadrants(
        weights, cache, both, blamed(weights, cache, both), tuple(found), caches.positions, len(found), control
    )


def blamed(weights: float, cache: float, both: float) -> Blame:
    """The source of the damage, by the KL with pruned weights alone, with the pruned cache alone, and with both."""
    if both < NO_DAMAGE:
        return Blame.NONE
    by_weights, by_cache = weights >= BLAMED * both, cache >= BLAMED * both
    if by_weights and by_cache:
        return Blame.EITHER
    if by_weights or by_cache:
        return Blame.COMPUTE if by_weights else Blame.MEMORY
    return Blame.BOTH


def _kl(dense: Distribution, other: Distribution) -> list[float]:
    """KL(dense ‖ other) of every row of `other`; exactly 0 for equal logits."""
    log_p, log_q = (one.below_largest() - one.log_total for one in (dense, other))
    return [max(0.0, kl) for kl in (dense.p * (log_p - log_q)).sum(-1).tolist()]


def _finite(reader: CachedModel, context: Sequence[int], output: NextTokenOutput, name: str) -> Tensor:
    """The logits. Raises `Failure` if they are not finite."""
    reader.join()
    if not output.finite:
        where = reader.apart().first_nonfinite([context])
        raise Failure(
            "Not finite",
            f"The {name} model computes NaN or infinity here{f', first in {where}' if where else ''}.",
            "Explain an earlier step, or restore that module.",
        )
    return output.logits


def _candidates(
    pruned: CachedModel,
    context: Sequence[int],
    caches: TwoCaches,
    reference: Distribution,
    vocabulary: int | None,
    most: int,
) -> tuple[list[int], str]:
    """The positions to restore: all of them, or the first, the last and those of the largest first-order drop. And a
    sentence if there is no gradient, so that the latest are restored."""
    count, note = caches.positions, ""
    if count <= most:
        return list(range(count)), note
    try:
        estimates = _first_order(pruned, context, caches, reference, vocabulary)
        order = sorted(range(count), key=lambda position: -estimates[position])
    except (MemoryError, RuntimeError, Failure) as problem:  # whatever a quantised module raises without a gradient
        order = list(range(count - 1, -1, -1))
        note = f"The latest positions of the cache were restored, because the backward pass failed: {said(problem)}"
    return list(dict.fromkeys((0, count - 1, *order)))[:most], note


def _first_order(
    pruned: CachedModel,
    context: Sequence[int],
    caches: TwoCaches,
    reference: Distribution,
    vocabulary: int | None,
) -> list[float]:
    """The drop of the KL for each restored position, as if it were linear in the cache, (positions,):
    -⟨∂KL/∂c, c_dense - c_pruned⟩ over the keys and values c of the position in all layers."""
    with torch.inference_mode(False), torch.enable_grad():
        leaves = list(caches.leaves())
        output = pruned.read_on([context], caches.differentiable(leaves), gradient=True)
        pruned.join()
        logits = output.logits[:, :vocabulary]
        mean_kl(reference.z.to(logits.device), logits, reference.temperature).backward()
        drops = torch.zeros(caches.positions, dtype=torch.float64)
        for own, other in leaves:
            if own.grad is not None:
                drops -= (own.grad * (other - own.detach())).sum((0, 1, 3)).double().cpu()
    return drops.tolist()


def _silent(caches: TwoCaches) -> str:
    if not caches.silent:
        return ""
    numbers = ", ".join(map(str, sorted(caches.silent)))
    layers = f"layer {numbers}" if len(caches.silent) == 1 else f"layers {numbers}"
    return (
        f"The attention of {layers} is dropped in one model, which has no cache there. Each model keeps its own "
        "cache there, so that what the dropping does is computed now."
    )
