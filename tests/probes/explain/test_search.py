"""The search on sets whose scores are made up: small answers, budgets that hold, and nothing that is not needed."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping

import pytest

from probes.explain.search import LOOK, Candidate, Names, Score, Search
from probes.schema.errors import BadInput
from probes.schema.repair import RepairGoal


class Made:
    """Scores that a function of a set gives, and what was asked."""

    def __init__(self, kl: Callable[[Names], float], same: Callable[[Names], tuple[bool, ...]] | None = None) -> None:
        self.kl, self.same = kl, same or (lambda _given: (True,))
        self.asked: set[Names] = set()

    def __call__(self, given: Names, near: Names) -> Score:
        assert len(given ^ near) <= 1
        self.asked.add(given)
        return Score(self.kl(given), self.same(given))


def sums(gains: Mapping[str, float], whole: float = 1.0) -> Callable[[Names], float]:
    return lambda given: whole - math.fsum(gains[name] for name in given)


def searched(
    made: Made, goal: RepairGoal, parameters: Mapping[str, int], *, spare: int = 0, estimates: bool = True
) -> tuple[list[str], list[str], bool]:
    def estimate(given: Names) -> dict[str, float]:
        return {n: made.kl(given) - made.kl(given | {n}) for n in parameters if n not in given} if estimates else {}

    candidates = [Candidate(name, count) for name, count in parameters.items()]
    return Search(candidates, made, estimate, goal, spare).found()


ONE = dict.fromkeys("abcdefgh", 10)


def test_the_largest_come_first_until_the_target_is_met() -> None:
    gains = dict(zip(ONE, (0.01, 0.4, 0.02, 0.3, 0.05, 0.0, 0.01, 0.0), strict=True))
    assert searched(Made(sums(gains)), RepairGoal(kl=0.5), ONE) == (["b", "d"], [], True)
    assert searched(Made(sums(gains)), RepairGoal(kl=0.6), ONE) == (["b"], [], True)


def test_what_turned_out_not_to_be_needed_is_removed() -> None:
    """`a` is the best alone, and worthless once `b` and `c` are given back, which the target needs."""

    def kl(given: Names) -> float:
        if {"b", "c"} <= given:
            return 0.0
        return 0.6 if "a" in given else 0.7 if given & {"b", "c"} else 1.0

    assert searched(Made(kl), RepairGoal(kl=0.1), ONE) == (["b", "c"], ["a"], True)


def test_the_best_alone_may_be_the_one_to_leave_out() -> None:
    """All three would be the dense model. `a` gains most alone, and only `b` and `c` together meet the target."""
    kls = {"": 1.0, "a": 0.5, "b": 0.7, "c": 0.6, "ab": 0.3, "ac": 0.2, "bc": 0.05, "abc": 0.0}
    made = Made(lambda given: kls["".join(sorted(given))])
    parameters = dict.fromkeys("abc", 10)
    assert searched(made, RepairGoal(kl=0.1), parameters, spare=1) == (["c", "b"], [], True)
    assert searched(made, RepairGoal(kl=0.01), parameters, spare=1) == (["c", "b"], [], False)
    assert searched(made, RepairGoal(kl=0.4), parameters, spare=1) == (["a", "c"], [], True)
    assert searched(made, RepairGoal(budget=20), parameters, spare=1) == (["c", "b"], [], True)
    assert searched(made, RepairGoal(budget=19), parameters, spare=1) == (["a"], [], True)


def test_two_that_help_only_together_are_found() -> None:
    made = Made(lambda given: 0.0 if {"c", "f"} <= given else 1.0 + 0.01 * len(given))
    kept, _, reached = searched(made, RepairGoal(kl=0.5), ONE)
    assert (sorted(kept), reached) == (["c", "f"], True)


@pytest.mark.parametrize("estimates", [True, False])
def test_gains_that_only_shrink_are_found_as_by_measuring_all_with_fewer_measurements(estimates: bool) -> None:
    chance = random.Random(4)
    names = [f"n{place}" for place in range(40)]
    covers = {name: {chance.randrange(300) for _ in range(chance.randrange(5, 40))} for name in names}

    def kl(given: Names) -> float:
        return 1 - len(set().union(*(covers[name] for name in given))) / 300

    made = Made(kl)
    kept, removed, _ = searched(made, RepairGoal(kl=0.3), dict.fromkeys(names, 1), estimates=estimates)
    slow: list[str] = []
    while kl(frozenset(slow)) > 0.3:
        slow.append(min((n for n in names if n not in slow), key=lambda n: (kl(frozenset([*slow, n])), names.index(n))))
    chosen = [*kept, *removed]
    assert len(chosen) == len(slow)
    assert math.isclose(kl(frozenset(chosen)), kl(frozenset(slow)), abs_tol=0.02)
    assert len(made.asked) < len(slow) * len(names) / 2


@pytest.mark.parametrize("seed", range(5))
def test_a_budget_is_never_exceeded_and_the_better_of_two_orders_is_taken(seed: int) -> None:
    chance = random.Random(seed)
    parameters = {name: chance.randrange(1, 30) for name in "abcdefgh"}
    gains = {name: chance.random() / 8 for name in parameters}
    made = Made(sums(gains))
    kept, _, reached = searched(made, RepairGoal(budget=40), parameters)
    assert reached
    assert sum(parameters[name] for name in kept) <= 40
    asked = [given for given in made.asked if len(given) > 1]
    assert all(sum(parameters[name] for name in given) <= 40 for given in asked)
    fitting = [
        given
        for size in range(9)
        for given in itertools.combinations(parameters, size)
        if sum(parameters[name] for name in given) <= 40
    ]
    best = max(math.fsum(gains[name] for name in given) for given in fitting)
    assert math.fsum(gains[name] for name in kept) >= 0.85 * best


def test_many_small_ones_beat_a_large_one_within_a_budget() -> None:
    parameters = {"large": 100, **{f"small{n}": 10 for n in range(10)}}
    gains = {"large": 0.3, **{f"small{n}": 0.09 for n in range(10)}}
    kept, _, _ = searched(Made(sums(gains)), RepairGoal(budget=100), parameters)
    assert sorted(kept) == sorted(f"small{n}" for n in range(10))


def test_a_budget_alone_takes_only_what_lowers_the_kl() -> None:
    gains = dict(zip(ONE, (0.2, -0.1, 0, 0.1, -0.3, 0, 0, 0), strict=True))
    assert searched(Made(sums(gains)), RepairGoal(budget=1000), ONE) == (["a", "d"], [], True)


def test_a_target_out_of_reach_gives_the_lowest_kl() -> None:
    gains = dict(zip(ONE, (0.2, -0.1, 0, 0.1, -0.3, 0, 0, 0), strict=True))
    assert searched(Made(sums(gains)), RepairGoal(kl=0.1), ONE) == (["a", "d"], [], False)
    assert searched(Made(sums(gains)), RepairGoal(kl=0.75, budget=10), ONE) == (["a"], [], False)


def test_the_last_one_is_never_given_back_if_the_dense_model_would_be_left() -> None:
    two = {"a": 1, "b": 1}
    gains = {"a": 0.6, "b": 0.4}
    assert searched(Made(sums(gains)), RepairGoal(kl=0.0), two) == (["a", "b"], [], True)
    assert searched(Made(sums(gains)), RepairGoal(kl=0.0), two, spare=1) == (["a"], [], False)


@pytest.mark.parametrize("spare", [0, 1])
def test_among_many_a_target_out_of_reach_is_known_before_the_first_round(spare: int) -> None:
    gains = {f"n{place:02}": 0.01 + 0.001 * place for place in range(20)}
    made = Made(sums(gains))
    least = made.kl(frozenset(list(gains)[spare:]))
    kept, removed, reached = searched(made, RepairGoal(kl=least - 0.001), dict.fromkeys(gains, 1), spare=spare)
    assert (kept, removed, reached) == (list(reversed(gains))[: 20 - spare], [], False)
    assert {len(given) for given in made.asked} == {20 - spare}
    assert len(made.asked) == (20 if spare else 1)
    made.asked.clear()
    assert searched(made, RepairGoal(kl=least), dict.fromkeys(gains, 1), spare=spare)[2]
    assert len([given for given in made.asked if len(given) == 20 - spare]) < 20


def test_the_tokens_decide_if_they_are_the_goal() -> None:
    def same(given: Names) -> tuple[bool, ...]:
        return (True, "d" in given, "f" in given, False)

    gains = dict(zip(ONE, (0.3, 0.1, 0, 0.05, 0, 0.01, 0, 0), strict=True))
    assert searched(Made(sums(gains), same), RepairGoal(), ONE) == (["d"], [], True)
    assert searched(Made(sums(gains), same), RepairGoal(no_split=True, kl=0.7), ONE) == (["a", "d"], [], True)
    kept, _, reached = searched(Made(sums(gains), same), RepairGoal(agreement=0.75), ONE)
    assert (sorted(kept), reached) == (["d", "f"], True)


def test_a_broken_run_is_healed_first() -> None:
    gains = dict(zip(ONE, (0.3, 0.2, 0.1, 0, 0, 0, 0, 0), strict=True))
    made = Made(lambda given: sums(gains)(given) if "e" in given else math.inf)
    assert searched(made, RepairGoal(kl=0.75), ONE) == (["e", "a"], [], True)
    both = Made(lambda given: sums(gains)(given) if {"e", "h"} <= given else math.inf)
    kept, _, reached = searched(both, RepairGoal(kl=1), ONE)
    assert (sorted(kept), reached) == (["e", "h"], True)


def test_a_later_round_looks_at_few() -> None:
    gains = {f"n{place}": 0.01 + 0.001 * place for place in range(30)}
    made = Made(sums(gains))
    searched(made, RepairGoal(kl=0.7), dict.fromkeys(gains, 1))
    later = [given for given in made.asked if len(given) > 1]
    assert 0 < len(later) <= (LOOK + 3) * max(map(len, later))


@pytest.mark.parametrize(
    "goal",
    [{"kl": -1}, {"kl": math.nan}, {"kl": math.inf}, {"agreement": 0}, {"agreement": 1.1}, {"budget": 0}],
    ids=str,
)
def test_a_goal_that_can_not_be_is_a_sentence(goal: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        RepairGoal(**goal)  # type: ignore[arg-type]
