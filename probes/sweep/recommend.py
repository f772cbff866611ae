"""Searches for the setting that removes the most and is still safe: bisection on the amount of each method, then the
best ones allocated by layer.

A pure strategy over an `Evaluation`, which carries settings out and scores them. The rules are in docs/figures.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from probes.schema.prune_setting import Owl, Setting, SettingPart, Table
from probes.schema.sweep import Allocation, Candidate, CellResult, Counted, Held, Recommendation, Trial
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY, Outcome, TaskVerdict
from probes.sweep.amounts import Bisection, Family
from probes.sweep.layer_ratios import LayerCost, growth, layer_ratios
from probes.tasks.judge import MEAN_SCORE, exact_copy, rejudged

ALLOCATED = 2
"""The best families that are allocated by layer, unless another number is given."""


class Evaluation(Protocol):
    """Carries settings out and scores them. What has been computed once is given again without being computed."""

    def scored(self, settings: Sequence[Candidate], task: str) -> Sequence[CellResult]:
        """The results of these settings on one task, in their order; each has a row or an error."""

    def layer_costs(self, family: Family, amount: float) -> Sequence[LayerCost]:
        """What pruning each layer alone by this amount does; () if it can't be measured."""

    def kl(self, setting: Candidate) -> float | None:
        """Mean KL a step of a setting on the prompt of `layer_costs`; None if it can't be measured."""

    def table(self, family: Family, amount: float, ratios: dict[int, float]) -> str:
        """Writes each layer's ratio into a file, and gives its path."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for."""

    tasks: tuple[str, ...]
    margin: float = MARGIN_OF_SAFETY
    level: float = LEVEL
    allocated: int = ALLOCATED
    """How many of the best families are allocated by layer."""
    trials: int | None = None
    """At most so many settings; None for no limit."""
    confirm: tuple[str, ...] = ()
    """Other tasks, on which the recommended setting is judged once."""


def recommend(
    of: Sequence[Family], question: Question, evaluation: Evaluation, told: Callable[[Trial], None] = lambda _: None
) -> Recommendation:
    """The setting that removes the most parameters and is safe on all tasks, of the families' amounts.

    A setting that is not safe on one task is not scored on the others. If nothing is safe, the search goes on for the
    setting that removes the most and is not broken on any task. `told` is given each trial as it ends.
    """
    search = _Search(of, question, evaluation, told)
    search.get_to_know_the_tasks()
    if search.tasks and search.decidable:
        search.bisect(_is_safe, _Until.NOT_SAFE)
        search.allocate()
    best = _most([one for one in search.trials.values() if one.held is Held.SAFE])
    not_broken = None
    if best is None and search.tasks:
        search.bisect(_is_not_broken, _Until.BROKEN)
        judged = [one for one in search.trials.values() if len(one.rows) == len(search.tasks)]
        not_broken = _most([one for one in judged if one.held is not Held.BROKEN])
    return search.recommendation(best, not_broken, search.confirmed(best))


class _Until(Enum):
    """When a setting needs no further task."""

    EVERY_TASK = "never"
    NOT_SAFE = "at the first task for which it is not safe"
    BROKEN = "at the first task that it breaks"


class _Search:
    """What is known so far."""

    def __init__(
        self, of: Sequence[Family], question: Question, evaluation: Evaluation, told: Callable[[Trial], None]
    ) -> None:
        self.families, self.question, self.evaluation, self.told = tuple(of), question, evaluation, told
        self.tasks = question.tasks
        self.trials: dict[str, Trial] = {}
        """By setting, in the order in which they were begun."""
        self.decidable = True
        self.nothing_to_lose: tuple[str, ...] = ()
        self.notes: list[str] = []
        self.not_tried: list[str] = []
        self._failed = Counter[str]()
        """How often a task was broken (2) or undecided (1): the one that most often was comes first."""
        self._ends: dict[str, Bisection] = {}
        """The latest bisection of each family."""
        self._copies: dict[str, TaskVerdict] = {}

    def get_to_know_the_tasks(self) -> None:
        """Scores all tasks of the first setting that can be carried out, which shows what the dense model can do."""
        bisections = [(one, Bisection(one.amounts)) for one in self.families]
        for family, bisection in bisections:
            while (amount := bisection.asks) is not None and not self._full():
                (trial,) = self.tried([family.at(amount)], _Until.EVERY_TASK)
                if len(trial.rows) == len(self.tasks):
                    self._know(trial)
                    return
                bisection.tell(holds=False)
        self.tasks = ()

    def _know(self, trial: Trial) -> None:
        margin, level = self.question.margin, self.question.level
        idle = {row.task for row in trial.rows if row.outcome is Outcome.NOTHING_TO_LOSE}
        self.nothing_to_lose = tuple(task for task in self.tasks if task in idle)
        self.tasks = tuple(task for task in self.tasks if task not in idle)
        self._copies = {row.task: exact_copy(row, margin, level) for row in trial.rows if row.task not in idle}
        self.decidable = all(row.outcome is Outcome.SAFE for row in self._copies.values())
        self.trials[trial.candidate.setting] = self._judged(trial, trial.rows)

    def bisect(self, holds: Callable[[Trial], bool], until: _Until) -> None:
        """Bisects all families side by side: in each round one amount of each."""
        self._ends = {one.text: Bisection(one.amounts) for one in self.families}
        while not self._full():
            asked = [(one, self._ends[one.text].asks) for one in self.families]
            open_ones = [(one, amount) for one, amount in asked if amount is not None]
            if not open_ones:
                return
            found = self.tried([one.at(amount) for one, amount in open_ones], until)
            for (family, _), trial in zip(open_ones, found, strict=False):
                self._ends[family.text].tell(holds(trial))

    def allocate(self) -> None:
        """Tries larger amounts of the best families, allocated by layer, until one is not safe."""
        kept = [one for one in self.families if self._ends[one.text].best is not None]
        ranked = sorted(kept, key=lambda one: -self._removed(one))
        possible = [one for one in ranked if one.allocatable]
        chosen = possible[: self.question.allocated]
        for family in chosen:
            best = self._ends[family.text].best
            assert best is not None, "a family without a safe amount is not allocated"
            larger = [amount for amount in family.amounts if amount > best]
            if not larger:
                self.notes.append(f"{family.text} is safe at its largest amount, so nothing larger could be allocated.")
                continue
            self._while_safe([_with_amount(family, Owl(amount), amount, Allocation.OWL) for amount in larger])
            self._by_sensitivity(family, best, larger)
        others = [one.text for one in self.families if one not in chosen]
        if others:
            self.not_tried.append(f"Allocation by layer (owl=, table=) of {', '.join(others)}.")

    def _by_sensitivity(self, family: Family, best: float, larger: Sequence[float]) -> None:
        if self._full():
            return
        costs = self.evaluation.layer_costs(family, best)
        kls = self.evaluation.kl(family.at(best)), self.evaluation.kl(family.at(larger[0]))
        slope = growth((best, larger[0]), (kls[0], kls[1])) if None not in kls else None  # type: ignore[arg-type]
        if len(costs) < 2 or slope is None:
            why = "the KL could not be measured layer by layer" if len(costs) < 2 else "its KL does not grow"
            self.notes.append(f"No table was made for {family.text}: {why}.")
            return
        for amount in larger:
            path = self.evaluation.table(family, amount, layer_ratios(amount, costs, slope))
            made = _with_amount(family, Table(path), amount, Allocation.SENSITIVITY)
            if not self._while_safe([made]):
                return

    def _while_safe(self, candidates: Sequence[Candidate]) -> bool:
        """Tries these in their order until one is not safe. Were all safe?"""
        for candidate in candidates:
            if self._full() or not _is_safe(self.tried([candidate], _Until.NOT_SAFE)[0]):
                return False
        return True

    def tried(self, candidates: Sequence[Candidate], until: _Until) -> list[Trial]:
        """Scores candidates, as many as may still be tried, on one task after another."""
        room = len(candidates)
        if self.question.trials is not None:
            room = self.question.trials - len(self.trials)
        chosen = []
        for one in candidates:
            if one.setting not in self.trials:
                if room <= 0:
                    break
                room -= 1
                self.trials[one.setting] = Trial(one, Held.UNDECIDED, (), None)
            chosen.append(one.setting)
        before = {setting: self.trials[setting] for setting in chosen}
        for task in sorted(self.tasks, key=lambda name: -self._failed[name]):
            needs = [self.trials[one] for one in chosen if self._needs(self.trials[one], task, until)]
            if not needs:
                continue
            results = self.evaluation.scored([one.candidate for one in needs], task)
            for trial, result in zip(needs, results, strict=True):
                self.trials[trial.candidate.setting] = after = self._with(trial, result)
                self._failed[task] += _FAILED.get(after.rows[-1].outcome, 1) if after.error is None else 0
        for setting in chosen:
            if self.trials[setting] != before[setting]:
                self.told(self.trials[setting])
        return [self.trials[setting] for setting in chosen]

    def _needs(self, trial: Trial, task: str, until: _Until) -> bool:
        return self._goes_on(trial, until) and all(row.task != task for row in trial.rows)

    def _goes_on(self, trial: Trial, until: _Until) -> bool:
        if trial.error is not None or until is _Until.EVERY_TASK:
            return trial.error is None
        if until is _Until.BROKEN:
            return trial.held is not Held.BROKEN
        return all(row.outcome is Outcome.SAFE for row in trial.rows)

    def _with(self, trial: Trial, result: CellResult) -> Trial:
        if result.row is None or result.error is not None:
            return replace(trial, held=Held.UNDECIDED, error=result.error)
        removed = result.removed.share if result.removed is not None else trial.removed
        row = rejudged(result.row, self.question.margin, self.question.level)
        return self._judged(replace(trial, removed=removed), (*trial.rows, row))

    def _judged(self, trial: Trial, rows: Sequence[TaskVerdict]) -> Trial:
        kept = tuple(row for row in rows if row.task in self.tasks)
        return replace(trial, rows=kept, held=_held(kept, len(self.tasks)))

    def _removed(self, family: Family) -> float:
        best = self._ends[family.text].best
        trial = None if best is None else self.trials.get(family.at(best).setting)
        return trial.removed or 0.0 if trial is not None else 0.0

    def _full(self) -> bool:
        return self.question.trials is not None and len(self.trials) >= self.question.trials

    def confirmed(self, best: Trial | None) -> tuple[TaskVerdict, ...]:
        """The rows of the best setting on the tasks that the search has not seen."""
        if best is None:
            return ()
        rows = []
        for task in self.question.confirm:
            (result,) = self.evaluation.scored([best.candidate], task)
            if result.row is not None and result.error is None:
                rows.append(rejudged(result.row, self.question.margin, self.question.level))
            else:
                self.notes.append(
                    f"{best.candidate.setting} could not be scored on {task}, so it is not confirmed there."
                )
        return tuple(rows)

    def recommendation(
        self, best: Trial | None, not_broken: Trial | None, confirmed: tuple[TaskVerdict, ...]
    ) -> Recommendation:
        question = self.question
        trials = tuple(self.trials.values())
        needed = None
        if best is None and not self.decidable:
            needed = max((row.items_needed or 0 for row in self._copies.values()), default=0) or None
        elif best is None and not_broken is not None:
            needed = max((row.items_needed or 0 for row in not_broken.rows), default=0) or None
        return Recommendation(
            best,
            not_broken,
            self.decidable,
            self.tasks,
            self.nothing_to_lose,
            question.margin,
            question.level,
            trials,
            (*self._amounts_not_tried(), *self.not_tried),
            _counted(best, sum(bool(one.rows) for one in trials), question) if best is not None else None,
            confirmed,
            items_needed=needed,
            notes=tuple(self.notes),
        )

    def _amounts_not_tried(self) -> list[str]:
        tried = {one.candidate.setting for one in self.trials.values()}
        said = []
        for family in self.families:
            left = [amount for amount in family.amounts if family.at(amount).setting not in tried]
            if left:
                said.append(
                    f"{family.text}: {len(left)} of {len(family.amounts)} amounts, {_runs(left, family.amounts)}."
                )
        if self._full():
            said.append(f"Anything more: {self.question.trials} settings were to be tried at most.")
        elif said and any(one.held is Held.SAFE for one in self.trials.values()):
            said.append(
                "They are left out because a method that is safe at one amount is taken to be safe at all smaller "
                "ones, and one that is not safe, at no larger one."
            )
        elif said:
            said.append(
                "They are left out because a method that is broken at one amount is taken to be broken at all larger "
                "ones, and a smaller one removes less."
            )
        return said


_FAILED = {Outcome.SAFE: 0, Outcome.BROKEN: 2}


def _held(rows: Sequence[TaskVerdict], of: int) -> Held:
    if any(row.outcome is Outcome.BROKEN for row in rows):
        return Held.BROKEN
    safe = len(rows) == of and all(row.outcome is Outcome.SAFE and row.final for row in rows)
    return Held.SAFE if safe and rows else Held.UNDECIDED


def _is_safe(trial: Trial) -> bool:
    return trial.held is Held.SAFE


def _is_not_broken(trial: Trial) -> bool:
    return trial.held is not Held.BROKEN and trial.error is None


def _most(trials: Sequence[Trial]) -> Trial | None:
    """The trial that removes the most; of equal ones the one whose worst task is least near its margin."""

    def worth(trial: Trial) -> tuple[float, float]:
        return trial.removed or 0.0, min((row.difference.low for row in trial.rows), default=-math.inf)

    return max(trials, key=worth, default=None)


def _with_amount(family: Family, amount: Owl | Table, mean: float, allocation: Allocation) -> Candidate:
    part = SettingPart(family.method, amount, family.part.targets)
    return Candidate(str(Setting((part,))), family.text, mean, allocation)


def _counted(best: Trial, tried: int, question: Question) -> Counted:
    """The verdict on the best setting at the level at which all that were tried hold together (Bonferroni)."""
    level = 1 - (1 - question.level) / tried
    if any(row.figure == MEAN_SCORE for row in best.rows):
        return Counted(tried, level, None)
    return Counted(tried, level, _held([rejudged(row, question.margin, level) for row in best.rows], len(best.rows)))


def _runs(some: Sequence[float], of: Sequence[float]) -> str:
    """Amounts as text, neighbours of the whole row joined: "0.05 to 0.2, 0.3"."""
    runs: list[list[float]] = []
    places = {amount: place for place, amount in enumerate(of)}
    for amount in some:
        if runs and places[amount] == places[runs[-1][-1]] + 1:
            runs[-1].append(amount)
        else:
            runs.append([amount])
    return ", ".join(f"{run[0]:g} to {run[-1]:g}" if len(run) > 1 else f"{run[0]:g}" for run in runs)
