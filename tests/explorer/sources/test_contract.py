"""Live models, a recording and toy models answer the same requests with the same events, each with the id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.sources.live import LiveSource
from explorer.sources.recorder import RecordedSource
from explorer.sources.replay import ReplaySource
from explorer.sources.source import Source
from explorer.sources.toy.source import ToySource
from probes.recording import read
from probes.schema.errors import FailureKind
from probes.schema.events import Event, Failed, RunPaused, RunResumed, RunStarted, StepMeasured, Why
from probes.schema.requests import (
    Explain,
    FindPassages,
    FindRepair,
    Fork,
    Judge,
    Pause,
    PlayAt,
    Prune,
    Rank,
    Repeat,
    Request,
    Restart,
    Run,
    Select,
    ShowRun,
    Step,
    ToEnd,
    Watch,
)
from probes.schema.watch import WatchedGroup
from tests.support.live import HALF, SETTINGS, Listener, TinyPair
from tests.support.records import recorded_events, settings, write_events

LONG = 64


class Pausing(Listener):
    """Pauses as soon as a step answers the request that is named."""

    source: Source
    after = 0
    pause = Pause()

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, StepMeasured) and event.request == self.after:
            self.after, self.pause = 0, Pause()
            self.source.ask(self.pause)


@pytest.fixture(params=["live", "replay", "toy", "recorded"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    made: dict[str, Callable[[], Source]] = {
        "live": lambda: LiveSource(lambda _work: TinyPair(), replace(SETTINGS, steps=LONG)),  # type: ignore[arg-type, return-value]
        "replay": lambda: ReplaySource(
            write_events(tmp_path / "run.jsonl", recorded_events(LONG)), play=True, pace=1000.0
        ),
        "toy": lambda: ToySource(settings(steps=LONG), pace=0.001),
        "recorded": lambda: RecordedSource(ToySource(settings(steps=LONG), pace=0.001), tmp_path / "mine.jsonl"),
    }
    one = made[request.param]()
    yield one
    one.close()


@pytest.fixture
def heard(source: Source) -> Pausing:
    listener = Pausing()
    listener.source = source
    source.open(listener)
    listener.wait(RunStarted)
    assert source.wait_idle(20)
    listener.events.clear()
    return listener


def answers(source: Source, heard: Pausing, request: Request) -> list[Event]:
    """All events from a request until the source is idle."""
    heard.events.clear()
    source.ask(request)
    assert source.wait_idle(20)
    return list(heard.events)


def test_nothing_happens_unasked(source: Source, heard: Pausing) -> None:
    assert source.wait_idle(20)
    assert heard.events == []


def test_each_step_answers_its_request(source: Source, heard: Pausing) -> None:
    for number in (1, 2, 3):
        step = Step()
        [event] = answers(source, heard, step)
        assert isinstance(event, StepMeasured)
        assert (event.record.step, event.request) == (number, step.id)


def test_a_run_goes_on_to_its_condition(source: Source, heard: Pausing) -> None:
    answers(source, heard, Step())
    run = Run(("steps=2",))
    events = answers(source, heard, run)
    assert [type(event) for event in events] == [RunResumed, StepMeasured, StepMeasured, RunPaused]
    assert {event.request for event in events} == {run.id}  # type: ignore[union-attr]
    last = events[-1]
    assert isinstance(last, RunPaused)
    assert (last.why, last.step) == (Why.UNTIL, 3)
    assert last.met is not None
    assert (last.met.condition, last.met.step) == ("steps=2", 3)


def test_a_pause_answers_whoever_paused_and_a_run_goes_on_from_there(source: Source, heard: Pausing) -> None:
    run = Run()
    heard.after = run.id
    *_, step, pause = answers(source, heard, run)
    assert isinstance(step, StepMeasured)
    assert (pause, pause.request) == (RunPaused(1, Why.ASKED, step.record.step), heard.pause.id)  # type: ignore[union-attr]
    resumed, following, *_ = answers(source, heard, Run(("steps=1",)))
    assert isinstance(resumed, RunResumed)
    assert isinstance(following, StepMeasured)
    assert following.record.step == step.record.step + 1


@pytest.mark.parametrize(
    "request_",
    [
        Fork(1, dense=5),
        Fork(99, dense=5),
        Select(0),
        Restart(SETTINGS),
        Watch((WatchedGroup("A", (5, 6)), WatchedGroup("B", (7,)))),
        Watch((WatchedGroup("A", (10**9,)),)),
        Prune(HALF),
        Rank(),
        Explain(1),
        Explain(1, through=9, kinds=("layers",), near=1),
        Explain(9),
        FindRepair(1),
        Judge(("missing.csv",)),
        FindPassages("missing.txt"),
        PlayAt(500.0),
        Repeat(True),
        ToEnd(),
        ShowRun(1),
        ShowRun(9),
    ],
    ids=str,
)
def test_whatever_is_asked_is_answered_with_its_id(source: Source, heard: Pausing, request_: Request) -> None:
    answers(source, heard, Step())
    found = answers(source, heard, request_)
    assert found
    assert {event.request for event in found} == {request_.id}  # type: ignore[union-attr]


def test_a_step_past_the_settings_number_is_answered_as_any_other(source: Source, heard: Pausing) -> None:
    answers(source, heard, Run())
    step = Step()
    [event] = answers(source, heard, step)
    assert isinstance(event, StepMeasured | RunPaused), "a recording has no more"
    assert event.request == step.id


@pytest.mark.parametrize("request_", [Run(("whenever",)), Select(9)], ids=["until", "select"])
def test_a_request_that_can_not_be_answered_fails_and_changes_nothing(
    source: Source, heard: Pausing, request_: Request
) -> None:
    answers(source, heard, Step())
    [failed] = answers(source, heard, request_)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.request) == (FailureKind.BAD_INPUT, request_.id)
    [step] = answers(source, heard, Step())
    assert isinstance(step, StepMeasured)
    assert step.record.step == 2


def test_a_recording_holds_the_reason_of_each_pause(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    source, heard = RecordedSource(ToySource(settings(steps=LONG), pace=0.001), path), Listener()
    source.open(heard)
    source.ask(Run(("steps=2",)))
    assert source.wait_idle(20)
    source.close()
    assert [line.event for line in read(path).last.lines if isinstance(line.event, RunPaused)] == heard.of(RunPaused)
