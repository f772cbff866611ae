"""Live models whose dense one computes in a process of its own: all keys work, and show what they show without it."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from explorer.sources.live import LiveSource
from probes.explain.step import explain
from probes.pair import Pair, pair_with_twin
from probes.schema.events import BranchOpened, Explained, Noticed, RunStarted, StepMeasured
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.requests import Explain, Fork, Prune, Step
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import OverlapMode
from probes.stepping.overlap import choose_overlap
from tests.support.live import Listener
from tests.support.prune_models import FEW, loaded

SETTINGS = RunSettings("abcdef", follow=Follow.FREE, steps=20)
FIRST, SECOND = "magnitude:0.6", "drop-attn@layers=1"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def pair(setting: str = FIRST) -> Pair:
    return pair_with_twin(loaded("llama"), parse(setting), FEW)


def with_process() -> Pair:
    made = pair()
    return replace(made, overlap=choose_overlap(made.dense.model, made.pruned.model, OverlapMode.PROCESS))


def alone(setting: str, count: int) -> list[StepRecord]:
    with pair(setting).lockstep(SETTINGS) as lockstep:
        return [lockstep.step() for _ in range(count)]


def test_steps_changes_forks_and_explanations_are_those_of_one_process():
    heard, before = Listener(), psutil.Process().children()
    source = LiveSource(lambda _work: with_process(), SETTINGS)
    source.open(heard)
    try:
        heard.wait(RunStarted)
        for _ in range(4):
            source.ask(Step())
        heard.wait(StepMeasured, 4)
        assert heard.steps() == alone(FIRST, 4)
        source.ask(Explain(3, kinds=("layers", "quadrants"), id=7))
        heard.wait(Explained, 2)
        with pair().lockstep(SETTINGS) as lockstep:
            for _ in range(4):
                lockstep.step()
            expected = explain(lockstep, range(3, 4), ("layers", "quadrants")).found
        assert [event.found for event in heard.of(Explained)] == [*expected.values()]
        source.ask(Prune(parse(SECOND)))
        heard.wait(StepMeasured, 8)
        assert heard.steps()[4:] == alone(SECOND, 4)
        source.ask(Prune(parse(FIRST)))
        heard.wait(StepMeasured, 12)
        assert heard.steps()[8:] == alone(FIRST, 4)
        source.ask(Fork(2, dense=9))
        heard.wait(BranchOpened)
        (process,) = {child.pid for child in psutil.Process().children()} - {child.pid for child in before}
        os.kill(process, signal.SIGKILL)
        for _ in range(3):
            source.ask(Step())
        assert "signal 9" in heard.wait(Noticed).message
    finally:
        source.close()
    assert psutil.Process().children() == before


def test_closing_ends_the_process():
    heard, before = Listener(), psutil.Process().children()
    source = LiveSource(lambda _work: with_process(), SETTINGS)
    source.open(heard)
    heard.wait(RunStarted)
    assert len(psutil.Process().children()) == len(before) + 1
    source.close()
    assert psutil.Process().children() == before
