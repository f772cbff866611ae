"""Searches for the smallest set of sublayers, matrices or weights whose restoration reaches a goal on a span.

The sets are measured on graphs that share the modules of the two models, so that the pair may be stepped meanwhile. The
result is a prune setting. Its figures, on the span and on text that it was not fitted to, are measured with the modules
that the text of the setting restores, which is what `Pair.repruned` puts in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from probes.explain.give_back_units import Unit, every_unit_is_all, restored_by, units_of
from probes.explain.held_out import HeldOut, after_prompt, after_span
from probes.explain.measured_sets import MeasuredSets
from probes.explain.repair_question import Question, already_met, gain
from probes.explain.repair_weights import repair_weights
from probes.explain.restored_passes import NOTHING, RestoredPasses
from probes.explain.search import Candidate, Names, Score, Search
from probes.explain.sublayers import Sublayers, take_apart
from probes.pair import Pair
from probes.prune.single_weights import count_candidates
from probes.schema.counting import noun_for
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import Setting
from probes.schema.repair import Gain, GivenBack, Repair, RepairGoal, RepairLevel
from probes.schema.restoring import with_restored
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work

TASK = "Searching for what to give back"


def repair(
    pair: Pair,
    lockstep: Lockstep,
    steps: range,
    goal: RepairGoal,
    *,
    level: RepairLevel = "sublayer",
    held_out: str = "",
    out: str = "",
    early: Callable[[Repair], None] | None = None,
    work: Work = UNWATCHED,
) -> Repair:
    """The smallest set that was found for steps that the run has taken, and what it gains.

    `held_out` is a second prompt; without it, the repair is also measured on the steps after the span. At the level
    "weight", `out` names the file that the setting reads (by default one beside the saved settings). Every set that is
    measured is kept in the cache folder: the same call again continues a search that was cancelled. Neither the models
    nor the run are changed. The same call gives the same result.

    `early` gets the best set of sublayers or matrices so far, whenever there is a better one, without its figures on
    other text.

    Raises `BadInput` for steps that are not there, for a model that was not pruned here, and if there is nothing to
    give back or the goal is met already; `Failure` if the dense model computes NaN or infinity, or if the pruned model
    is changed meanwhile; `Cancelled`.
    """
    work = work.apart()
    work.check(TASK)
    question = Question.of(pair, lockstep, steps)
    other = after_prompt(pair, lockstep, held_out, work) if held_out else after_span(lockstep, steps[-1], work)
    if level == "weight":
        return repair_weights(question, goal, other, out, work)
    if out:
        raise BadInput("Option without effect", f"A repair by {level} needs no file.", "Leave --out away.")
    sublayers = take_apart(pair.dense.model, pair.pruned.model)
    return _UnitRepair(question, goal, level, sublayers, early, work).found(other)


class _UnitRepair:
    """The search among sublayers or matrices."""

    def __init__(
        self,
        question: Question,
        goal: RepairGoal,
        level: RepairLevel,
        sublayers: Sublayers,
        early: Callable[[Repair], None] | None,
        work: Work,
    ) -> None:
        self._question, self._goal, self._level, self._early, self._work = question, goal, level, early, work
        self._sublayers = sublayers
        self._units = units_of(question.twin, sublayers, level)
        self._passes = RestoredPasses(sublayers, self._units, question.fitted)
        self._sets = MeasuredSets.of_question(question.fitted_facts, level)
        self._asked: set[Names] = set()
        self._best: Score | None = None
        """Of the best set that `early` was given."""

    def found(self, other: HeldOut | None) -> Repair:
        """The search's answer as a setting with its figures."""
        search = self._search()
        before = self._measured(NOTHING, NOTHING)
        if search.met(before) or before.kl == 0:
            raise already_met(self._goal, before)
        kept, not_needed, reached = search.found()
        if not kept:
            raise self._nothing_helps(before)
        after = self._passes.score(frozenset(kept), frozenset(kept))
        found = self._repair(search, kept, self._setting(kept), after)
        return replace(
            found,
            reached=reached and (self._goal.only_budget or search.met(after)),
            not_needed=len(not_needed),
            held_out=self._held_out(frozenset(kept), other) if other else None,
            held_out_text=other.text if other else "",
            tried=len(self._asked),
            only_dense=not reached and search.spare > 0 and self._goal.budget is None,
        )

    def _repair(self, search: Search, kept: Sequence[str], setting: Setting, after: Score) -> Repair:
        """A set as a repair, without its figures on other text."""
        given, near = [], NOTHING
        for name in kept:
            score = self._measured(near | {name}, near)
            near |= {name}
            given.append(self._given(self._named(name), score))
        return Repair(
            level=self._level,
            target_kl=self._goal.kl,
            budget=self._goal.budget,
            reached=self._goal.only_budget or search.met(after),
            setting=str(setting),
            given_back=tuple(given),
            not_needed=0,
            parameters=sum(one.parameters for one in given),
            of=sum(unit.parameters for unit in self._units),
            span=gain(self._measured(NOTHING, NOTHING), after),
            held_out=None,
            held_out_text="",
            tried=len(self._asked),
            target_agreement=self._goal.agreement,
            target_no_split=search.asks_for_no_split,
            notes=(*self._sublayers.notes, *self._work.notes),
        )

    def _better(self, search: Search, early: Callable[[Repair], None], names: Sequence[str]) -> None:
        """Reports a set if it is better than those before: it reaches the goal, or else its KL is lower."""
        score = self._measured(frozenset(names), frozenset(names[:-1]))
        before = self._best or self._measured(NOTHING, NOTHING)
        if (search.met(score), -score.kl) <= (search.met(before), -before.kl):
            return
        with suppress(Failure):  # a set that no setting restores exactly is only on the way to one
            early(self._repair(search, names, self._setting(names), score))
            self._best = score

    def _search(self) -> Search:
        candidates = [Candidate(unit.name, unit.parameters) for unit in self._units]
        spare = int(every_unit_is_all(self._question.twin, self._units))
        if len(candidates) <= spare:
            what = f"Only {candidates[0].name} is pruned: with it, the dense model would be left."
            nothing = "Nothing that can be given back by itself is pruned."
            finer = "Ask for less pruning."
            if count_candidates(self._question.twin):
                finer = "Give single weights back with --level weight, or ask for less pruning."
            raise BadInput("Nothing to give back", what if candidates else nothing, finer)
        found = Search(candidates, self._measured, self._estimated, self._goal, spare)
        return found if self._early is None else replace(found, better=partial(self._better, found, self._early))

    def _measured(self, names: Names, near: Names) -> Score:
        """The score of a set: measured now, or remembered."""
        self._asked.add(names)
        score = self._sets.get(names)
        if score is None:
            self._report()
            self._question.check_unchanged()
            score = self._passes.score(names, near)
            self._question.check_unchanged()
            self._sets.add(names, score, self._work)
        return score

    def _estimated(self, given: Names) -> dict[str, float]:
        self._report()
        self._question.check_unchanged()
        return self._passes.estimates(given, self._question.twin, self._work)

    def _report(self) -> None:
        count = len(self._asked)
        self._work.report(TASK, count, None, f"{noun_for(count, 'set')} measured")

    def _setting(self, kept: Sequence[str]) -> Setting:
        units = [self._named(name) for name in kept]
        whole = [unit.part for unit in units if not unit.matrix]
        names = {name for unit in units if unit.matrix for name in unit.matrices}
        matrices = self._question.twin.anatomy.matrices
        setting = with_restored(self._question.setting, whole, names, matrices)
        if restored_by(setting, self._units, self._question.twin) != frozenset(kept):
            message = f"{setting} does not restore exactly {', '.join(kept)}."
            raise Failure("Setting", message, "Search by whole sublayers: --level sublayer.")
        return setting

    def _held_out(self, kept: Names, other: HeldOut) -> Gain:
        passes = RestoredPasses(self._sublayers, self._units, self._question.on(other))
        return gain(passes.score(NOTHING, NOTHING), passes.score(kept, NOTHING))

    def _named(self, name: str) -> Unit:
        return next(unit for unit in self._units if unit.name == name)

    def _given(self, unit: Unit, score: Score) -> GivenBack:
        return GivenBack(unit.part.layer, unit.part.kind, unit.matrix, unit.parameters, score.kl, score.agreement)

    def _nothing_helps(self, before: Score) -> BadInput:
        least = min(unit.parameters for unit in self._units)
        budget = self._goal.budget
        if budget is not None and budget < least:
            message = (
                f"A budget of {budget:,} parameters is less than any {self._level} has: the smallest has {least:,}."
            )
        else:
            message = f"No {self._level} that may be given back lowers the KL ({before.kl:.4g})."
        hint = "Use a larger --budget, or another --level." if budget is not None else "Use another --level."
        return BadInput("Nothing to give back", message, hint)
