"""Long work goes on beside stepping: it can be cancelled alone, and its progress and its result carry its id."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.sources.live import LiveSource
from explorer.sources.replay import ReplaySource
from probes.calibration.samples import samples
from probes.pair import Pair, pair_with_twin
from probes.prune.importance import importance
from probes.schema.errors import FailureKind
from probes.schema.events import Event, Explained, Failed, RunStarted, StepMeasured, WorkProgressed
from probes.schema.part_ranking import Ranking
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.requests import Cancel, Prune, Rank, Step
from probes.schema.settings import Follow, RunSettings
from probes.system.progress import Work
from tests.support.live import Listener
from tests.support.prune_models import FEW, loaded
from tests.support.records import recorded_events, write_events

SETTINGS = RunSettings("abcdef", follow=Follow.DENSE, steps=40)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def pair() -> Pair:
    return pair_with_twin(loaded("llama"), parse("drop-attn@layers=1"), FEW)


def expected(count: int) -> list[StepRecord]:
    with pair().lockstep(SETTINGS) as lockstep:
        return [lockstep.step() for _ in range(count)]


class Interrupting(Listener):
    """Asks for something as soon as the ranking reports that its first text is read, and lets it go on afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, WorkProgressed) and event.unit == "texts" and event.done == 1:
            self.reached.set()
            assert self.go_on.wait(20)


@pytest.fixture
def heard() -> Interrupting:
    return Interrupting()


@pytest.fixture
def source(heard: Interrupting) -> Iterator[LiveSource]:
    live = LiveSource(lambda _work: pair(), SETTINGS)
    live.open(heard)
    heard.wait(RunStarted)
    yield live
    heard.go_on.set()
    live.close()


def test_steps_are_measured_while_it_runs_and_are_the_same(source: LiveSource, heard: Interrupting) -> None:
    rank = Rank("mlp")
    source.ask(rank)
    assert heard.reached.wait(20)
    for _ in range(12):  # more than were read ahead
        source.ask(Step())
    heard.wait(StepMeasured, 12)
    assert not heard.of(Explained), "the steps did not wait for it"
    heard.go_on.set()
    found = heard.wait(Explained)
    assert heard.steps() == expected(12)
    assert isinstance(found.found, Ranking)
    assert (found.step, found.request) == (0, rank.id)
    assert {event.request for event in heard.of(WorkProgressed) if event.unit == "texts"} == {rank.id}
    whole = pair()
    assert whole.twin is not None
    at_once = importance(whole.twin, "mlp", samples(FEW, whole.dense).ids, Work())
    assert {one.part: one.influence for one in found.found.parts} == pytest.approx(dict(at_once), abs=1e-6)
    influences = [one.influence for one in found.found.parts]
    assert influences == sorted(influences)


def test_cancelling_it_stops_only_it(source: LiveSource, heard: Interrupting) -> None:
    rank = Rank("mlp")
    source.ask(rank)
    assert heard.reached.wait(20)
    source.ask(Cancel(rank.id))
    heard.go_on.set()
    failed = heard.wait(Failed)
    assert (failed.kind, failed.request) == (FailureKind.CANCELLED, rank.id)
    source.ask(Step())
    heard.wait(StepMeasured)
    assert source.wait_idle(20)
    assert heard.steps() == expected(1)
    assert not heard.of(Explained)


def test_the_cancel_of_a_run_leaves_it_alone(source: LiveSource, heard: Interrupting) -> None:
    source.ask(Rank("mlp"))
    assert heard.reached.wait(20)
    source.ask(Cancel())
    heard.go_on.set()
    found = heard.wait(Explained).found
    assert isinstance(found, Ranking)
    assert found.parts
    assert not heard.of(Failed)


def test_a_model_that_is_pruned_meanwhile_is_not_ranked_as_the_one_before(
    source: LiveSource, heard: Interrupting
) -> None:
    rank = Rank("mlp")
    source.ask(rank)
    assert heard.reached.wait(20)
    source.ask(Prune(parse("drop-mlp@layers=1")))
    heard.wait(RunStarted, 2)
    heard.go_on.set()
    failed = heard.wait(Failed)
    assert (failed.title, failed.request) == ("Nothing to rank", rank.id)
    assert not heard.of(Explained)


class PruningMeanwhile(Listener):
    """Asks for a pruning that reads the calibration text as soon as the ranking begins to write that text."""

    source: LiveSource
    prune: Prune | None = None

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, WorkProgressed) and event.request and event.unit != "texts" and self.prune is None:
            self.prune = Prune(parse("wanda:0.5"))
            self.source.ask(self.prune)
            while len(self.source._models._waiting) < 2:  # until it really waits
                threading.Event().wait(0.001)


def test_a_pruning_by_the_text_that_it_writes_waits_for_that_text() -> None:
    heard = PruningMeanwhile()
    heard.source = live = LiveSource(lambda _work: pair(), SETTINGS)
    live.open(heard)
    heard.wait(RunStarted)
    live.ask(Rank("mlp"))
    pruned = heard.wait(RunStarted, 2)
    assert heard.prune is not None
    assert pruned.request == heard.prune.id
    live.close()


def test_a_recording_refuses_it(tmp_path: Path) -> None:
    replay, found = ReplaySource(write_events(tmp_path / "run.jsonl", recorded_events(3))), Listener()
    replay.open(found)
    assert replay.wait_idle(20)
    rank = Rank()
    replay.ask(rank)
    assert [(event.kind, event.request) for event in found.of(Failed)] == [(FailureKind.NEEDS_MODELS, rank.id)]
    replay.close()
