"""Looks for a small set to give back: greedily, measuring again what may gain most, then removing what is not needed.

Knows neither models nor tensors: its caller says what a set does. Each round adds the candidate that lowers the KL
most. The first round measures all of them. A later one measures those that an estimate puts first, and then the others
in the order of what they gained when last measured, until the best one found gains more than the next gained before.
That is exact if gains only shrink as more is given back, and otherwise a rule for when to stop looking; the pass at the
end takes out what a wrong step left behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from probes.schema.repair import RepairGoal

FEW = 12
"""Up to so many candidates, all ways are tried, whatever the largest sets reach."""
LOOK = 3
"""How many candidates a round measures because a fresh estimate puts them first."""

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class Score:
    """The damage that is left once a set is given back."""

    kl: float
    """The mean KL over the span; infinite if the model computes NaN or infinity."""
    same: tuple[bool, ...]
    """At each step of the span, whether both models' top token is the same."""

    @property
    def agreement(self) -> float:
        """The share of the steps at which it is."""
        return sum(self.same) / len(self.same)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that can be given back, and the pruned parameters that come with it."""

    name: str
    parameters: int


Measure = Callable[[Names, Names], Score]
"""The score of a set, and a set close to it that more will be measured around."""
Estimate = Callable[[Names], Mapping[str, float]]
"""About what each other candidate would gain, once a set is given back; may lack any of them."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search, from the question to its answer."""

    candidates: Sequence[Candidate]
    measure: Measure
    estimate: Estimate
    goal: RepairGoal
    spare: int = 0
    """How many candidates may never be given back: 1 if the whole would be the dense model."""
    better: Callable[[Sequence[str]], None] | None = None
    """Called with each set that a round finds better than what it has measured before, in the order of choice."""

    def found(self) -> tuple[list[str], list[str], bool]:
        """The names to give back in the order of choice, those chosen and not needed, and whether the goal
        is reached. Raises what `measure` raises."""
        if (most := self._out_of_reach()) is not None:
            return most, [], False
        best: tuple[list[str], list[str], bool] | None = None
        for chosen, reached in self._ways():
            kept = self._needed(chosen, reached)
            answer = kept, [name for name in chosen if name not in kept], reached
            if reached and not self.goal.only_budget:
                return answer
            if best is None or self._kl(kept) < self._kl(best[0]):
                best = answer
        assert best is not None
        return best

    def met(self, score: Score) -> bool:
        """Is the target met? Never, if there is none but a budget."""
        goal = self.goal
        if goal.only_budget:
            return False
        if goal.kl is not None and not score.kl <= goal.kl:
            return False
        if goal.agreement is not None and sum(score.same) < goal.agreement * len(score.same) - 1e-9:
            return False
        if self.asks_for_no_split:
            before = self.measure(frozenset(), frozenset()).same
            return all(score.same[: before.index(False) + 1]) if False in before else True
        return True

    @property
    def asks_for_no_split(self) -> bool:
        """Is it part of the goal that the first split goes? Without any other goal it is."""
        goal = self.goal
        return goal.no_split or (goal.kl is None and goal.agreement is None and goal.budget is None)

    def _out_of_reach(self) -> list[str] | None:
        """The best of the largest sets that may be given back, if all of them miss the target; None if one meets it.

        A target that they miss is hardly met by any smaller set, and adding one candidate after another would take many
        times as long to say so. Of a few candidates, all ways are tried instead.
        """
        if self.goal.budget is not None or len(self.candidates) <= FEW:
            return None
        whole = frozenset(one.name for one in self.candidates)
        if not self.spare:
            return None if self.met(self.measure(whole, whole)) else self._by_estimate(whole)
        best: tuple[float, str] | None = None
        for name in reversed(self._by_estimate(whole)):
            score = self.measure(whole - {name}, whole)
            if self.met(score):
                return None
            if best is None or score.kl < best[0]:
                best = score.kl, name
        assert best is not None
        return self._by_estimate(whole - {best[1]})

    def _by_estimate(self, names: Names) -> list[str]:
        """These names, the largest estimated gain first."""
        found = self.estimate(frozenset())
        return sorted(
            (one.name for one in self.candidates if one.name in names), key=lambda name: -found.get(name, 0.0)
        )

    # The rounds -----------------------------------------------------------------------------------------------

    def _ways(self) -> Iterator[tuple[list[str], bool]]:
        """Sets to reduce to what is needed, each with whether it reaches the goal, one after another."""
        yield self._greedily(each_parameter=False)
        if self.goal.budget is not None:
            yield self._greedily(each_parameter=True)
        if self.spare == 1 and (dispensable := self._dispensable()):
            yield self._all_but_one(dispensable)

    def _dispensable(self) -> list[str]:
        """The candidates without which all others may be given back."""
        budget, whole = self.goal.budget, self._parameters([one.name for one in self.candidates])
        return [one.name for one in self.candidates if budget is None or whole - one.parameters <= budget]

    def _all_but_one(self, dispensable: Sequence[str]) -> tuple[list[str], bool]:
        """The best of the sets that lack one of these: a greedy way may have left out another one. What gains most
        alone comes first."""
        names = [one.name for one in self.candidates]
        whole = frozenset(names)

        def rank(name: str) -> tuple[bool, float]:
            score = self.measure(whole - {name}, whole)
            return not self.met(score), score.kl

        left_out = min(dispensable, key=rank)
        rest = [name for name in names if name != left_out]
        reached = self.goal.only_budget or not rank(left_out)[0]
        return sorted(rest, key=lambda name: self._kl([name])), reached

    def _greedily(self, *, each_parameter: bool) -> tuple[list[str], bool]:
        """The chosen names in order; if the target is not met, as far as the KL was least."""
        chosen: list[str] = []
        last: dict[str, float] = {}
        kls = [self._kl(chosen)]
        while not self.met(self._score(chosen)):
            name = self._next(chosen, last, each_parameter)
            if name is None:
                break
            chosen.append(name)
            kls.append(self._kl(chosen))
        else:
            return chosen, True
        least = min(range(len(kls)), key=lambda place: kls[place])
        return chosen[:least], self.goal.only_budget

    def _next(self, chosen: Sequence[str], last: dict[str, float], each_parameter: bool) -> str | None:
        """The best candidate to add, by gain or by gain for each parameter; None if none may be added or, with nothing
        but a budget, none lowers the KL. `last` has what each gained when last measured."""
        options = {one.name: one for one in self.candidates if one.name not in chosen and self._fits(chosen, one)}
        given, now = frozenset(chosen), self._kl(chosen)
        best: tuple[bool, float] = (False, -math.inf)
        found: str | None = None

        def worth(name: str) -> float:
            return last[name] / max(1, options[name].parameters) if each_parameter else last[name]

        for name, may_stop in self._in_order(options, given, last, worth):
            if may_stop and best[1] > 0 and best[1] >= worth(name):
                break
            score = self.measure(given | {name}, given)
            last[name] = -score.kl if math.isinf(now) else now - score.kl
            key = (self.met(score), worth(name))
            if found is None or key > best:
                best, found = key, name
                if self.better is not None:
                    self.better([*chosen, name])
        return None if self.goal.only_budget and best[1] <= 0 and not math.isinf(now) else found

    def _in_order(
        self,
        options: Mapping[str, Candidate],
        given: Names,
        last: Mapping[str, float],
        worth: Callable[[str], float],
    ) -> Iterator[tuple[str, bool]]:
        """The candidates in the order in which to measure them, each with whether a better one found ends the round."""
        estimates = self.estimate(given) if len(options) > 1 else {}
        places = {name: place for place, name in enumerate(options)}
        by_estimate = sorted(options, key=lambda name: (-estimates.get(name, -math.inf), places[name]))
        if any(name not in last for name in options):
            yield from ((name, False) for name in by_estimate)
            return
        first = by_estimate[:LOOK] if estimates else []
        yield from ((name, False) for name in first)
        rest = sorted((name for name in options if name not in first), key=lambda name: (-worth(name), places[name]))
        yield from ((name, True) for name in rest)

    def _fits(self, chosen: Sequence[str], one: Candidate) -> bool:
        if len(chosen) + 1 > len(self.candidates) - self.spare:
            return False
        return self.goal.budget is None or self._parameters(chosen) + one.parameters <= self.goal.budget

    # The pass at the end --------------------------------------------------------------------------------------

    def _needed(self, chosen: Sequence[str], reached: bool) -> list[str]:
        """The chosen names without those that the goal, or without one the KL, does not need; the largest go first."""
        kept = list(chosen)
        removed = True
        while removed:
            removed = False
            for name in sorted(kept, key=lambda one: -self._parameters([one])):
                around, less = frozenset(kept), frozenset(kept) - {name}
                score = self.measure(less, around)
                by_target = reached and not self.goal.only_budget
                if self.met(score) if by_target else score.kl <= self._kl(kept):
                    kept.remove(name)
                    removed = True
        return kept

    # Helpers --------------------------------------------------------------------------------------------------

    def _parameters(self, names: Collection[str]) -> int:
        return sum(one.parameters for one in self.candidates if one.name in names)

    def _score(self, names: Sequence[str]) -> Score:
        return self.measure(frozenset(names), frozenset(names[:-1]))

    def _kl(self, names: Sequence[str]) -> float:
        return self._score(names).kl
