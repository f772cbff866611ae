"""One step of the toy models after a path, by the rules of `probes.schema.record`: contexts, splits, endings."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from explorer.sources.toy.models import ToyPair, ToyState, softmax, toy_comparison
from explorer.sources.toy.watched import toy_watched, toy_watched_ids
from probes.schema.branches import Branch
from probes.schema.record import Choice, Comparison, Invalid, StepRecord, Taken
from probes.schema.settings import Follow, RunSettings
from probes.schema.summary import Accumulator, nll


@dataclass(frozen=True, slots=True)
class Accidents:
    """The steps at which something goes wrong; 0 is never."""

    invalid: int = 0
    """The pruned model computes NaN."""
    infinite: int = 0
    """The KL is infinite."""
    dense_ends: int = 0
    pruned_ends: int = 0


class ToyStep:
    """One step after a path."""

    def __init__(
        self,
        pair: ToyPair,
        settings: RunSettings,
        accidents: Accidents,
        path: Sequence[StepRecord],
        forced: Branch | None,
    ) -> None:
        self.pair, self.settings, self.accidents, self.path, self.forced = pair, settings, accidents, path, forced
        self.number = len(path) + 1
        self.free = settings.follow is Follow.FREE
        self.shared = [step.taken.token_id for step in path if step.taken]
        """The tokens of the dense context: the shared one except in `free`."""
        self.own = [taken.token_id for step in path if (taken := step.taken_pruned or step.taken)]
        """The tokens of the pruned model's own context."""

    def record(self) -> StepRecord | None:
        before = self.path[-1] if self.path else None
        dense_ended = before is not None and (before.taken is None or before.taken.end)
        pruned_ended = dense_ended if not self.free else self._pruned_ended(before)
        if dense_ended and pruned_ended:
            return None
        if self.number == self.accidents.invalid:
            return self._invalid()
        same = self.shared == self.own and not dense_ended and not pruned_ended
        temperature = self.settings.analysis_t
        dense = None if dense_ended else self.pair.dense(self.shared)
        pruned_on_shared = None if dense_ended else self.pair.pruned(self.shared)
        pruned = None if pruned_ended else (pruned_on_shared if same else self.pair.pruned(self.own))
        own = shared = None
        if dense and pruned:
            own = shared = self._compare(dense, pruned, temperature)
        if dense and pruned_on_shared and not same:
            shared = self._compare(dense, pruned_on_shared, temperature)
        choice = self._choice(dense, dense, pruned or pruned_on_shared, temperature) if dense else None
        choice_pruned = self._choice(pruned, dense or pruned, pruned, temperature) if pruned else None
        taken, taken_pruned = self._taken(choice, choice_pruned, dense, pruned_on_shared, pruned, temperature)
        agree = _argmax(dense.z) == _argmax(pruned.z) if dense and pruned else None
        sums = Accumulator.after(self.path)
        record = StepRecord(
            step=self.number,
            dense=choice,
            pruned=choice_pruned,
            taken=taken,
            taken_pruned=taken_pruned,
            same_context=same,
            agree=agree,
            own=own,
            shared=shared,
            sum=sums.sums,
        )
        return replace(record, sum=sums.add(record, (nll(taken.p), nll(taken.q)) if shared and taken else None))

    def _pruned_ended(self, before: StepRecord | None) -> bool:
        if before is None:
            return False
        if before.taken_pruned is not None:
            return before.taken_pruned.end
        return before.pruned is None or (before.taken is not None and before.taken.end)

    def _compare(self, dense: ToyState, pruned: ToyState, temperature: float) -> Comparison:
        found = toy_comparison(self.pair, dense, pruned, temperature, self.settings.top)
        groups = toy_watched_ids(self.pair, self.settings.watch)
        found = replace(found, watched=toy_watched(groups, dense, pruned, temperature))
        if self.number == self.accidents.infinite:
            found = replace(found, p=replace(found.p, kl=math.inf, kl_estimate=math.nan))
        return found

    def _choice(self, chooser: ToyState, dense: ToyState | None, pruned: ToyState | None, temperature: float) -> Choice:
        token_id = self._draw(chooser)
        p = softmax(dense.z, temperature)[token_id] if dense else 0.0
        q = softmax(pruned.z, temperature)[token_id] if pruned else 0.0
        return Choice(token_id, self.pair.vocabulary[token_id], p, q)

    def _draw(self, state: ToyState) -> int:
        """The token a model chooses; both models share the noise of a step."""
        sampling = self.settings.sampling
        if sampling.greedy:
            return _argmax(state.z)
        draw = random.Random(f"{sampling.seed}:{self.number}")
        return _argmax([z / sampling.temperature - math.log(-math.log(draw.random())) for z in state.z])

    def _taken(
        self,
        choice: Choice | None,
        choice_pruned: Choice | None,
        dense: ToyState | None,
        pruned_on_shared: ToyState | None,
        pruned: ToyState | None,
        temperature: float,
    ) -> tuple[Taken | None, Taken | None]:
        follows_pruned = self.settings.follow is Follow.PRUNED
        first = choice_pruned if follows_pruned else choice
        forced, forced_pruned = (self.forced.dense, self.forced.pruned) if self.forced else (None, None)
        if self.shared == self.own:
            forced = forced_pruned = forced if forced is not None else forced_pruned
        taken = taken_pruned = None
        if first and dense and pruned_on_shared:
            taken = self._append(
                first.token_id, forced, dense, pruned_on_shared, temperature, self.accidents.dense_ends
            )
        if self.free and choice_pruned and pruned:
            before = dense or pruned
            ends = self.accidents.pruned_ends
            taken_pruned = self._append(choice_pruned.token_id, forced_pruned, before, pruned, temperature, ends)
        return taken, taken_pruned

    def _append(
        self, token_id: int, forced: int | None, dense: ToyState, pruned: ToyState, temperature: float, ends: int
    ) -> Taken:
        token_id = token_id if forced is None else forced
        end = self.number == ends
        token = "<|im_end|>" if end else self.pair.vocabulary[token_id]
        p, q = softmax(dense.z, temperature)[token_id], softmax(pruned.z, temperature)[token_id]
        return Taken(token_id, token, p, q, "" if end else token, forced is not None, end)

    def _invalid(self) -> StepRecord:
        dense = self.pair.dense(self.shared)
        choice = self._choice(dense, dense, None, self.settings.analysis_t)
        return StepRecord(
            step=self.number,
            dense=choice,
            pruned=None,
            taken=Taken(choice.token_id, choice.token, choice.p, math.nan, choice.token),
            taken_pruned=None,
            same_context=self.shared == self.own,
            agree=None,
            own=None,
            shared=None,
            sum=self.path[-1].sum if self.path else Accumulator().sums,
            invalid=Invalid("pruned", "model.layers.7.mlp.down_proj"),
        )


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda token_id: (values[token_id], -token_id))
