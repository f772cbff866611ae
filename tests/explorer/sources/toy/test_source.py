"""The scripted source keeps the rules a measured run keeps, so that what is tested on it holds."""

from __future__ import annotations

import math

import pytest

from explorer.sources.toy.models import ToyPair, toy_comparison
from explorer.sources.toy.source import ToySource
from explorer.sources.toy.step import Accidents
from probes.schema.events import Event, Failed, RunPaused, StepMeasured, Why
from probes.schema.requests import Fork, Run
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.summary import Accumulator
from tests.support.stage import PROMPT, scripted


@pytest.mark.parametrize("follow", list(Follow))
def test_the_sums_are_those_of_the_steps(follow: Follow) -> None:
    path = scripted(follow).records(40)
    for place, record in enumerate(path):
        assert record.step == place + 1
        assert record.sum == Accumulator.after(path[:place]).add(record)


def test_the_table_adds_up_to_the_kl() -> None:
    pair = ToyPair()
    found = toy_comparison(pair, pair.dense([1, 2]), pair.pruned([1, 2]), 1.0, top=len(pair.vocabulary))
    assert math.fsum(row.p for row in found.top) == pytest.approx(1)
    assert math.fsum(row.q for row in found.top) == pytest.approx(1)
    assert math.fsum(row.kl_share for row in found.top) == pytest.approx(1)


def test_a_copy_is_the_same_in_every_figure() -> None:
    for record in scripted(setting="wanda:0").records(20):
        assert record.own is not None
        assert (record.own.p.kl, record.own.p.tv, record.own.h.orthogonal, record.agree) == (0, 0, 0, True)


def test_the_estimate_is_near_the_kl_where_the_change_is_small() -> None:
    for record in scripted(Follow.DENSE, setting="wanda:0.02").records(20):
        assert record.own is not None
        assert record.own.p.kl_estimate == pytest.approx(record.own.p.kl, rel=0.2)


def test_contexts_part_in_free_and_nowhere_else() -> None:
    assert any(not record.same_context for record in scripted().records(40))
    assert any(not record.same_context for record in scripted().records(40))
    for follow in (Follow.DENSE, Follow.PRUNED, Follow.TEXT):
        assert all(record.same_context for record in scripted(follow).records(40))


def test_one_seed_gives_one_run() -> None:
    settings = RunSettings(PROMPT, sampling=Sampling(temperature=1.0, seed=5))
    assert ToySource(settings).records(20) == ToySource(settings).records(20)
    other = RunSettings(PROMPT, sampling=Sampling(temperature=1.0, seed=6))
    assert ToySource(settings).records(20) != ToySource(other).records(20)


def test_each_model_ends_on_its_own_in_free() -> None:
    path = scripted(accidents=Accidents(dense_ends=20, pruned_ends=25)).records(100)
    assert len(path) == 25
    assert path[21].dense is None
    assert path[21].own is None
    assert path[21].taken_pruned is not None


def test_a_run_stops_where_its_condition_is_met() -> None:
    events: list[Event] = []
    source = scripted(Follow.DENSE)
    source.open(events.append)
    source.ask(Run(("split",)))
    source.advance(100)
    paused = events[-1]
    assert isinstance(paused, RunPaused)
    assert paused.why is Why.UNTIL
    assert paused.met is not None
    assert paused.met.condition == "split"
    assert not source.running


def test_a_forced_token_is_taken_and_said_to_be_forced() -> None:
    events: list[Event] = []
    source = scripted()
    source.open(events.append)
    source.advance(8)
    token = next(e for e in events if isinstance(e, StepMeasured) and e.record.step == 5).record.own.top[2].token_id
    source.ask(Fork(5, dense=token))
    step = events[-1]
    assert isinstance(step, StepMeasured)
    assert step.branch == 1
    assert step.record.taken is not None
    assert (step.record.taken.token_id, step.record.taken.forced) == (token, True)


def test_a_token_that_they_lack_is_a_failure() -> None:
    events: list[Event] = []
    source = scripted()
    source.open(events.append)
    source.ask(Fork(1, dense="no such token"))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.message == "“no such token” is no token of toy models."
