"""Run-until conditions: read from text, and met when they say."""

from __future__ import annotations

import copy

import pytest
import torch

from probes.schema.errors import BadInput
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.until import GRAMMAR, Loop, Met, TokenTaken, first_met, parse_until
from probes.stepping.lockstep import Lockstep
from tests.support.stepping import Words, damaged
from tests.support.tiny import tiny


@pytest.fixture(scope="module")
def path() -> list[StepRecord]:
    torch.manual_seed(0)
    model = tiny("llama")
    with Lockstep(model, damaged(model), Words(), [5, 17, 99], RunSettings("p", follow=Follow.FREE, steps=25)) as both:
        return list(both)


def first(condition: str, path: list[StepRecord]) -> int | None:
    until = parse_until(condition)
    return next((n for n in range(1, len(path) + 1) if until.met(path[:n])), None)


def test_split_is_met_where_the_choices_first_differ(path: list[StepRecord]) -> None:
    assert first("split", path) == path[-1].sum.first_split


def test_bounds_are_met_at_the_first_step_past_them(path: list[StepRecord]) -> None:
    kls = [r.shared.p.kl for r in path]
    bound = sorted(kls)[len(kls) // 2]
    assert first(f"kl>{bound!r}", path) == next(i for i, kl in enumerate(kls, 1) if kl > bound)
    half = path[-1].sum.kl_local / 2
    assert first(f"sum.kl>{half}", path) == next(r.step for r in path if r.sum.kl_local > half)
    assert first(f"ΣKL>{half}", path) == first(f"sum.kl > {half}", path)
    assert first("survival<0.5", path) == next(r.step for r in path if r.sum.survival < 0.5)
    assert first("kl>1e9", path) is None


def test_a_token_and_a_number_of_steps(path: list[StepRecord]) -> None:
    wanted = path[6].taken
    assert first(f"token={wanted.token.strip()}", path) == next(
        r.step for r in path if wanted.token_id in (r.taken.token_id, r.taken_pruned.token_id)
    )
    assert first("steps=4", path) == 4
    assert parse_until("steps=4", start=3).met(path[:7])
    assert not parse_until("steps=4", start=3).met(path[:6])


@pytest.mark.parametrize(
    ("tokens", "period"),
    [([1, 2, 3] * 4, 3), ([9, 8, 7, 6] + [5] * 12, 1), (list(range(40)), 0), ([5] * 11, 0), ([1, 2] * 5, 0)],
)
def test_a_loop_is_at_least_three_rounds_and_twelve_tokens(tokens: list[int], period: int) -> None:
    assert Loop()._period(tokens) == period


def test_a_copy_never_splits() -> None:
    model = tiny("gpt2")
    with Lockstep(model, copy.deepcopy(model), Words(), [5, 17], RunSettings("p", steps=5)) as both:
        same = list(both)
    assert first_met([parse_until("split"), parse_until("kl>0"), parse_until("survival<1")], same) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kl",
        "kl<2",
        "survival>0.1",
        "kl>x",
        "steps=0",
        "steps=-2",
        "token=",
        "kl>nan",
        "kl>inf",
        "kl>-1",
        "survival<0",
        "survival<1.5",
    ],
)
def test_what_is_no_condition_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_until(text)
    assert GRAMMAR in refused.value.hint


@pytest.mark.parametrize(
    ("text", "token"), [("token= ", " "), ("  token=\\n", "\n"), ("token=\\\\n", "\\n"), ("token= a ", " a ")]
)
def test_a_token_is_what_stands_behind_the_sign_spaces_and_all(text: str, token: str) -> None:
    assert parse_until(text) == TokenTaken(token)


def test_a_loop_names_the_text_that_it_is_in() -> None:
    model = tiny("gpt2")
    for follow, forced, side in (
        (Follow.DENSE, {"dense": 9}, ""),
        (Follow.FREE, {"dense": 9, "pruned": 8}, "pruned"),
    ):
        settings = RunSettings("p", follow=follow, steps=20)
        with Lockstep(model, copy.deepcopy(model), Words(), [5, 17], settings) as both:
            path = [both.step(**forced) for _ in range(13)]
        assert Loop().met(path) == Met("loop", 13, side=side, period=1)
    # The pruned text has ended: what loops is the dense one.
    settings = RunSettings("p", follow=Follow.FREE, steps=20)
    with Lockstep(model, copy.deepcopy(model), Words(), [5, 17], settings, ends_pruned=frozenset({8})) as both:
        path = [both.step(dense=9, pruned=8) for _ in range(13)]
    assert path[-1].taken_pruned is None
    assert Loop().met(path) == Met("loop", 13, side="dense", period=1)
