"""Ranks sublayers, matrices and heads by what exchanging them changes, the likely culprit first.

Values are given as they are found, so that the estimates can be shown at once and each exact heal in its turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean

import torch
from torch import Tensor

from probes.explain.pieces import Piece
from probes.explain.sublayers import ModelSide, Sublayers
from probes.explain.swaps import Exchanges, mean_kl
from probes.schema.errors import Failure
from probes.schema.explanation import Swap, Swaps
from probes.schema.part import Part
from probes.stepping.cached_model import CachedModel
from probes.system.progress import UNWATCHED, Work

TASK = "Exchanging sublayers"


def measure_swaps(
    sublayers: Sublayers,
    context: Sequence[int],
    positions: int = 1,
    *,
    pieces: Sequence[Piece] = (),
    vocabulary: int | None = None,
    temperature: float = 1.0,
    work: Work = UNWATCHED,
) -> Swaps:
    """The last of `swaps_as_found`, without estimates."""
    found = swaps_as_found(
        sublayers, context, positions, pieces=pieces, vocabulary=vocabulary, temperature=temperature, work=work
    )
    *_, last = found
    return last


def swaps_as_found(
    sublayers: Sublayers,
    context: Sequence[int],
    positions: int = 1,
    *,
    pieces: Sequence[Piece] = (),
    estimate: Callable[[Tensor], Mapping[Part, float]] = lambda _dense: {},
    begun: Swaps | None = None,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    work: Work = UNWATCHED,
) -> Iterator[Swaps]:
    """Heal and damage of every sublayer, or of these pieces, at the steps that follow the last `positions` beginnings
    of a context: first with estimates, then with one exact swap after another, the likely culprit first.

    `estimate` gives the estimated heal of each sublayer from the dense logits, (positions, V); it is asked only for
    finite models. `begun` is an earlier value for the same models and context: what it has is not measured again. Only
    the last value is complete. Distributions are over the ids below `vocabulary`. Between two values nothing is changed
    in a model. Raises `Failure` if the dense model computes NaN or infinity, or if nothing is exchanged and the figures
    change all the same; `Cancelled`.
    """
    work.check(TASK)
    dense = Exchanges(sublayers, sublayers.dense, sublayers.pruned, context, positions)
    if not bool(torch.isfinite(dense.logits).all()):
        message = "The dense model computes NaN or infinity on this context, so nothing can be ranked."
        raise Failure("Not finite", message, "Choose an earlier step.")
    reference = dense.logits[:, :vocabulary]
    top = reference.argmax(-1)

    def kl(logits: Tensor) -> float:
        found = float(mean_kl(reference, logits[:, :vocabulary].to(reference.device), temperature))
        return 0.0 if found < 0 else found  # a NaN stays one

    work.check(TASK)
    pruned = Exchanges(sublayers, sublayers.pruned, sublayers.dense, context, positions)
    before = kl(pruned.logits)
    state = _Found(positions, before, tuple(pieces or sublayers.parts))
    if begun is not None:
        state.resume(begun)
    if math.isfinite(before):
        work.check(TASK)
        state.estimate = state.estimate or estimate(reference)
        yield state.swaps()
    else:
        state.first = pruned.first_nonfinite()
        work.note(_not_finite(sublayers.pruned, context, state.first))
    work.check(TASK)
    middle = sublayers.anatomy.blocks[len(sublayers.anatomy.blocks) // 2].layer
    controls = [kl(dense.exchanged(beginning=middle))]
    if math.isfinite(before):
        controls.append(kl(pruned.exchanged(beginning=middle)) - before)
    control = max(controls, key=abs)
    if control != 0:
        raise Failure(
            "Control",
            f"With nothing exchanged the KL changes by {control:g}, so exchanges can't be measured here.",
            "Use a CPU or another attention kernel.",
        )

    def swap(logits: Tensor, part: Part | Piece, kl_before: float) -> Swap:
        kl_after = kl(logits)
        returns = torch.equal(logits[:, :vocabulary].argmax(-1).to(top.device), top)
        piece = part.name if isinstance(part, Piece) else ""
        return Swap(part.layer, part.kind, kl_before, kl_after, kl_before - kl_after, returns, piece=piece)

    total, unit = 2 * len(state.parts), "heals and damages of pieces" if pieces else "heals and damages"
    order = [part for part in state.order() if part not in state.damage]
    done = len(state.parts) - len(order)
    ends = [0, *range(min(dense.lanes, len(order)), len(order), dense.together), len(order)]
    for first, end in pairwise(ends):  # the likely culprits at once, then many together
        parts = order[first:end]
        healed, damaged = (model.each(parts, lambda: work.check(TASK)) for model in (pruned, dense))
        for number, (part, *logits) in enumerate(zip(parts, healed, damaged, strict=True), done + first):
            work.report(TASK, 2 * number, total, unit)
            state.heal[part] = swap(logits[0], part, before)
            work.report(TASK, 2 * number + 1, total, unit)
            state.damage[part] = swap(logits[1], part, 0.0)
            if number + 1 < len(state.parts):
                yield state.swaps()
    work.check(TASK)
    yield state.swaps(healed=kl(pruned.exchanged(*sublayers.parts)))


@dataclass(slots=True)
class _Found:
    """The swaps that are known so far, the others by their estimate."""

    positions: int
    kl: float
    parts: tuple[Part | Piece, ...]
    estimate: Mapping[Part, float] = field(default_factory=dict)
    """Of sublayers. Pieces have none, but are measured in the order of their sublayers'."""
    first: Part | None = None
    """The sublayer that is measured first, whatever the estimates."""
    heal: dict[Part | Piece, Swap] = field(default_factory=dict)
    damage: dict[Part | Piece, Swap] = field(default_factory=dict)

    def resume(self, begun: Swaps) -> None:
        """Takes over the estimates, and the parts that were exchanged in both directions."""
        names = {(part.layer, part.kind, part.name if isinstance(part, Piece) else ""): part for part in self.parts}
        damage = {(one.layer, one.sublayer, one.piece): one for one in begun.damage}
        estimates: dict[Part, float] = {}
        for one in begun.heal:
            name = one.layer, one.sublayer, one.piece
            part = names.get(name)
            if isinstance(part, Part) and one.estimate is not None:
                estimates[part] = one.estimate
            if part is not None and one.exact and name in damage:
                self.heal[part], self.damage[part] = one, damage[name]
        self.estimate = estimates

    def order(self) -> list[Part | Piece]:
        """The likely culprits first; without estimates the cheapest, which are the last."""

        def key(part: Part | Piece) -> tuple[bool, float, int]:
            whole = _whole(part)
            return whole != self.first, -self.estimate.get(whole, 0.0), -part.layer

        return sorted(self.parts, key=key)

    def swaps(self, healed: float | None = None) -> Swaps:
        heal = [self._estimated(part) for part in self.parts if part in self.heal or part in self.estimate]
        exact = [(one.kl_drop, one.estimate) for one in heal if one.exact and one.estimate is not None]
        additivity = None
        if healed is not None and self.kl > 0:
            additivity = math.fsum(one.kl_drop for one in heal) / self.kl
        return Swaps(
            self.positions,
            self.kl,
            0.0 if healed is None else healed,
            tuple(sorted(heal, key=lambda one: (math.isnan(one.kl_after), one.kl_after, -one.kl_drop))),
            tuple(sorted(self.damage.values(), key=lambda one: -one.kl_after if one.kl_after >= 0 else -math.inf)),
            additivity,
            0.0,
            rank_correlation([pair for pair in exact if pair[1] is not None]),
        )

    def _estimated(self, part: Part | Piece) -> Swap:
        estimate = self.estimate.get(part) if isinstance(part, Part) else None
        if (found := self.heal.get(part)) is not None:
            return replace(found, estimate=estimate)
        assert estimate is not None
        after = max(0.0, self.kl - estimate)
        return Swap(part.layer, part.kind, self.kl, after, estimate, False, estimate, exact=False)


def _whole(part: Part | Piece) -> Part:
    return part.part if isinstance(part, Piece) else part


def _not_finite(side: ModelSide, context: Sequence[int], first: Part | None) -> str:
    module = CachedModel(side.model).first_nonfinite([list(context)])
    tried = f" {first} is healed first." if first else ""
    return f"The pruned model computes NaN or infinity on this context, first in {module or 'its head'}.{tried}"


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's: the correlation of the two columns' ranks, equal values sharing one. None if a column is constant."""
    columns = [_ranks([pair[i] for pair in pairs]) for i in range(2)]
    if any(len(set(ranks)) < 2 for ranks in columns):
        return None
    (a, b) = ([rank - fmean(ranks) for rank in ranks] for ranks in columns)
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return float(product / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5)


def _ranks(values: Sequence[float]) -> list[float]:
    return [sum(other < value for other in values) + sum(other == value for other in values) / 2 for value in values]
