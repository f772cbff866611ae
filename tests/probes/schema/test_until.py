"""Run-until conditions: read from text, and met when they say."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from explorer.sources.toy.step import Accidents
from probes.schema.errors import BadInput
from probes.schema.flat_step import figure_named, figures, to_jsonable
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.until import UNTIL_GRAMMAR, Bound, Loop, Met, TokenTaken, check_watched, first_met, parse_until
from probes.stepping.lockstep import Lockstep
from tests.support.records import recorded_events, records
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
    half = path[-1].sum.kl_shared / 2
    assert first(f"sum.kl_shared>{half}", path) == next(r.step for r in path if r.sum.kl_shared > half)
    assert first(f"ΣKL>{half}", path) == first(f"sum.kl_shared > {half}", path)
    assert first("survival<0.5", path) == next(r.step for r in path if r.sum.survival < 0.5)
    assert first("kl>1e9", path) is None


def test_every_figure_of_the_json_can_be_tested_and_none_other(path: list[StepRecord]) -> None:
    """In `free` the names of one figure on own contexts and on the shared one give two different conditions."""

    def leaves(node: object, name: str = "") -> Iterator[tuple[str, float]]:
        if isinstance(node, dict):
            for key, child in node.items():
                yield from leaves(child, f"{name}.{key}".lstrip("."))
        elif isinstance(node, (int, float)) and not isinstance(node, bool) and not name.endswith("token_id"):
            yield name, node

    for record in path:
        written = dict(leaves(to_jsonable(record)))
        assert written == {name: figure_named(record, name) for name in written}
        for name, value in written.items():
            for sign, met in ((">", value > 0.25), ("<", value < 0.25)):
                assert bool(Bound(name, sign == ">", 0.25).met([record])) == met
    assert set(written) | {"shared.p.kl"} <= set(figures())


def test_a_bound_may_be_the_least_or_the_largest_value_that_a_figure_has(path: list[StepRecord]) -> None:
    assert first("p.tv>0", path) == next(r.step for r in path if r.own and r.own.p.tv > 0)
    assert first("h.cos<1", path) == next(r.step for r in path if r.own and r.own.h.cos < 1)
    assert str(parse_until("p.rank_dense_in_pruned>1")) == "p.rank_dense_in_pruned>1.0"


def test_a_figure_on_own_contexts_is_another_than_the_one_on_the_shared_context() -> None:
    path = records(recorded_events(40))
    last = path[-1]
    between = (last.sum.kl + last.sum.kl_shared) / 2
    assert last.sum.kl > last.sum.kl_shared
    assert first(f"sum.kl>{between}", path) == next(r.step for r in path if r.sum.kl > between)
    assert first(f"sum.kl_shared>{between}", path) is None


def test_a_shared_figure_is_tested_before_the_texts_diverge_as_well(path: list[StepRecord]) -> None:
    assert path[0].same_context
    assert first("shared.p.kl>0", path) == first("p.kl>0", path) == 1


def test_where_the_texts_diverge_and_where_one_ends() -> None:
    path = records(recorded_events(30, accidents=Accidents(pruned_ends=20)))
    assert first("diverge", path) == next(r.step for r in path if r.diverges)
    assert first("eos", path) == 20


def test_a_name_that_is_no_figure_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(BadInput, match=r"Did you mean sum\.kl_shared\?"):
        parse_until("sum.kl_share>2")


def test_a_bound_on_watched_tokens_is_met_and_refused_where_it_never_could_be() -> None:
    path = records(recorded_events(24, watch="#1 | #2"))
    kls = [record.shared.watched.kl for record in path]
    bound = sorted(kls)[len(kls) // 2]
    assert first(f"shared.watched.kl>{bound!r}", path) == next(step for step, kl in enumerate(kls, 1) if kl > bound)
    for condition, least in (("watched.kl>1", 2), ("shared.watched.cos<0.9", 2), ("watched.mass_dense>0.1", 1)):
        check_watched(parse_until(condition), least)
        with pytest.raises(BadInput, match="is never met"):
            check_watched(parse_until(condition), least - 1)
    check_watched(parse_until("kl>2"), 0)


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
        "sum.survival>1.5",
        "shared.p.tv<0",
        "p.rank_dense_in_pruned<1",
        "p.nothing>1",
        "dense.token_id>5",
        "agree>0",
        "top.0.p>0.5",
    ],
)
def test_what_is_no_condition_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_until(text)
    assert UNTIL_GRAMMAR in refused.value.hint


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
