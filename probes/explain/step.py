"""Explains steps of a run, one kind of finding after another, on caches of its own: the run goes on undisturbed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from probes.explain.estimate import estimate_heals, with_estimates
from probes.explain.layers import measure_layers
from probes.explain.sublayers import Sublayers, take_apart
from probes.explain.swaps import measure_swaps
from probes.schema.explanation import Layers, Swaps
from probes.schema.findings import Finding
from probes.schema.requests import SwapLevel
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work

KINDS_FOUND = ("layers", "swaps")
"""The kinds that `Explainer` finds, the quick ones first. By their names in `probes.schema.findings`."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Steps of a run, explained on the context that both models share there."""

    steps: tuple[int, int]
    """The first and the last one."""
    found: Mapping[str, Finding]
    """By kind. Those that are about one step are missing for a span of several."""
    notes: tuple[str, ...]
    """Sentences that a reader of the figures must know."""

    @property
    def layers(self) -> Layers | None:
        found = self.found.get("layers")
        return found if isinstance(found, Layers) else None

    @property
    def swaps(self) -> Swaps | None:
        found = self.found.get("swaps")
        return found if isinstance(found, Swaps) else None


def explain(
    lockstep: Lockstep, steps: range, kinds: Collection[str] = KINDS_FOUND, *, work: Work = UNWATCHED
) -> Explanation:
    """Explains steps that the run has taken. Raises `BadInput` for steps that are not there and for models whose
    sublayers can't be told apart, `Failure` for NaN or infinity, `Cancelled`."""
    explainer = Explainer(lockstep, steps, work=work)
    found = {kind: finding for kind in kinds if (finding := explainer.find(kind)) is not None}
    return Explanation((steps[0], steps[-1]), found, tuple(explainer.notes))


class Explainer:
    """Finds one kind after another about the same steps. What several kinds need is computed once.

    The run may go on, fork or be sought elsewhere meanwhile: everything that depends on its path is read when this is
    made. `work` is checked only between two passes, when nothing is changed in a model, so a source can let another
    thread use the models there.
    """

    def __init__(
        self,
        lockstep: Lockstep,
        steps: range,
        *,
        level: SwapLevel = "sublayer",
        sublayers: Callable[[], Sublayers] | None = None,
        told: Callable[[Finding], None] = lambda _finding: None,
        work: Work = UNWATCHED,
    ) -> None:
        """`level` says what is exchanged. `sublayers` are the models taken apart, if that was done before. `told` gets
        findings that are not final yet. Raises `BadInput` for steps that are not there."""
        self._lockstep, self._steps, self._work = lockstep, steps, work
        self._level, self._take_apart, self._told = level, sublayers, told
        self._context = lockstep.shared_context(steps[-1])
        lockstep.shared_context(steps[0])
        self._dense, self._pruned = (model.apart() for model in lockstep.models)
        self.notes: list[str] = []
        """Sentences that a reader of what has been found must know."""

    def find(self, kind: str) -> Finding | None:
        """A finding of this kind; None if it is about one step, and the steps are several.

        Raises `BadInput` for models whose sublayers can't be told apart, `Failure` for NaN or infinity, `Cancelled`.
        """
        self._work.check("Explaining")
        single = len(self._steps) == 1
        match kind:
            case "layers":
                return self._layers() if single else None
            case "swaps":
                return self._swaps()
            case _:
                raise ValueError(f"steps are not explained by {kind!r}")

    @cached_property
    def _sublayers(self) -> Sublayers:
        sublayers = self._take_apart() if self._take_apart else take_apart(self._dense.model, self._pruned.model)
        self.notes += sublayers.notes
        return sublayers

    def _layers(self) -> Layers:
        lockstep = self._lockstep
        return measure_layers(
            self._dense,
            self._pruned,
            self._context,
            self._sublayers,
            vocabulary=lockstep.vocabulary,
            temperature=lockstep.settings.analysis_t,
            piece=lockstep.piece,
        )

    def _swaps(self) -> Swaps:
        sublayers, context, count = self._sublayers, self._context, len(self._steps)
        vocabulary, temperature = self._lockstep.vocabulary, self._lockstep.settings.analysis_t
        estimate = estimate_heals(sublayers, context, count, vocabulary=vocabulary, temperature=temperature)
        self.notes += filter(None, [estimate.note])
        swaps = measure_swaps(
            sublayers, context, count, vocabulary=vocabulary, temperature=temperature, work=self._work
        )
        return with_estimates(swaps, estimate)
