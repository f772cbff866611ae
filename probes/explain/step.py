"""Explains steps of a run: figures by layer at one step, heal and damage over all of them."""

from __future__ import annotations

from dataclasses import dataclass

from probes.explain.estimate import estimate_heals, with_estimates
from probes.explain.layers import measure_layers
from probes.explain.sublayers import take_apart
from probes.explain.swaps import measure_swaps
from probes.schema.explanation import Layers, Swaps
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work


@dataclass(frozen=True, slots=True)
class Explanation:
    """Steps of a run, explained on the context that both models share there."""

    steps: tuple[int, int]
    """The first and the last one."""
    layers: Layers | None
    """At the step; None for a span of several."""
    swaps: Swaps
    notes: tuple[str, ...]
    """Sentences that a reader of the figures must know."""


def explain(lockstep: Lockstep, steps: range, *, work: Work = UNWATCHED) -> Explanation:
    """Explains steps that the run has taken. Raises `BadInput` for steps that are not there and for models whose
    sublayers can't be told apart, `Failure` for NaN or infinity, `Cancelled`."""
    dense, pruned = lockstep.models
    context = lockstep.shared_context(steps[-1])
    lockstep.shared_context(steps[0])
    work.check("Explaining")
    sublayers = take_apart(dense.model, pruned.model)
    vocabulary, temperature = lockstep.vocabulary, lockstep.settings.analysis_t
    layers = None
    if len(steps) == 1:
        layers = measure_layers(
            dense, pruned, context, sublayers, vocabulary=vocabulary, temperature=temperature, piece=lockstep.piece
        )
    estimate = estimate_heals(sublayers, context, len(steps), vocabulary=vocabulary, temperature=temperature)
    swaps = measure_swaps(sublayers, context, len(steps), vocabulary=vocabulary, temperature=temperature, work=work)
    notes = (*sublayers.notes, *filter(None, [estimate.note]))
    return Explanation((steps[0], steps[-1]), layers, with_estimates(swaps, estimate), notes)
