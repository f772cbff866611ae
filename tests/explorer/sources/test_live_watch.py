"""Other tokens are watched during a run: the same steps come back with their figures, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.sources.live import LiveSource
from probes.pair import Pair, pair_with_twin
from probes.schema.events import BranchOpened, Failed, RunPaused, RunStarted, StepMeasured, Why
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.requests import Fork, Step, Watch
from probes.schema.settings import Follow, RunSettings
from probes.schema.watch import WatchedForm, WatchedGroup, parse_watch
from tests.support.live import Listener
from tests.support.prune_models import FEW, loaded

SETTINGS = RunSettings("abcdef", follow=Follow.FREE, steps=20)


def pair() -> Pair:
    return pair_with_twin(loaded("llama"), parse("drop-attn@layers=1"), FEW)


@pytest.fixture
def heard() -> Listener:
    return Listener()


@pytest.fixture
def source(heard: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveSource]:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    live = LiveSource(lambda _work: pair(), SETTINGS)
    live.open(heard)
    heard.wait(RunStarted)
    yield live
    live.close()


def without_watched(record: StepRecord) -> StepRecord:
    own = record.own and replace(record.own, watched=None)
    return replace(record, own=own, shared=record.shared and replace(record.shared, watched=None))


def test_the_same_steps_come_back_watched_with_the_forced_token(source: LiveSource, heard: Listener) -> None:
    source.ask(Step())
    source.ask(Step())
    heard.wait(StepMeasured, 2)
    source.ask(Fork(2, dense="z", pruned="z"))
    heard.wait(BranchOpened)
    source.ask(Step())
    *_, second, third = (heard.wait(StepMeasured, 4), heard.steps())[1]
    first = heard.steps()[0]
    watch = Watch(parse_watch("a, b | #7"))
    source.ask(watch)
    assert heard.wait(RunStarted, 2).header.settings == replace(SETTINGS, watch=watch.groups)
    assert heard.wait(RunPaused).why is Why.MEASURED
    again = heard.steps()[4:]
    assert [without_watched(record) for record in again] == [first, second, third]
    for record in again:
        assert record.own is not None
        assert record.own.watched is not None
        assert [group.label for group in record.own.watched.groups] == ["a", "#7"]
        assert record.own.watched.groups[1].tokens == (7,)

    source.ask(Watch())
    heard.wait(RunStarted, 3)
    assert heard.wait(RunPaused, 2).why is Why.KNOWN
    assert heard.steps()[7:] == [first, second, third]


def test_a_token_that_the_models_lack_leaves_the_run_as_it_is(source: LiveSource, heard: Listener) -> None:
    source.ask(Step())
    heard.wait(StepMeasured)
    lacking: tuple[WatchedForm, ...] = ("several tokens", 10**9)
    for place, form in enumerate(lacking, 1):
        request = Watch((WatchedGroup("x", (form,)),))
        source.ask(request)
        failed = heard.wait(Failed, place)
        assert failed.request == request.id
        assert failed.title in ("Not one token", "Unknown token")
    source.ask(Step())
    assert heard.wait(StepMeasured, 2).record.step == 2
    assert len(heard.of(RunStarted)) == 1
