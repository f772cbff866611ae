"""Live models with a twin that is really pruned: what goes wrong on the way leaves the run that is shown as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.live import LiveSource
from probes.decode import Lockstep
from probes.errors import Cancelled
from probes.events import BranchOpened, Failed, RunStarted, StepMeasured
from probes.pair import Pair, pruned_here
from probes.record import StepRecord
from probes.settings import Follow, RunSettings
from tests.explorer.test_live import Listener
from tests.probes.prune.models import FEW, loaded

SETTINGS = RunSettings("abcdef", follow=Follow.DENSE, steps=20)
FIRST = "drop-attn@layers=1"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def pair(setting: str = FIRST) -> Pair:
    return pruned_here(loaded("llama"), setting, FEW)


def expected(setting: str, count: int) -> list[StepRecord]:
    with pair(setting).lockstep(SETTINGS) as lockstep:
        return [lockstep.step() for _ in range(count)]


@pytest.fixture
def heard() -> Listener:
    return Listener()


@pytest.fixture
def source(heard: Listener) -> Iterator[LiveSource]:
    live = LiveSource(lambda _progress, _cancelled: pair(), SETTINGS)
    live.open(heard)
    heard.wait(RunStarted)
    yield live
    live.close()


def step(source: LiveSource, heard: Listener, count: int) -> None:
    seen = len(heard.steps())
    for _ in range(count):
        source.step()
    heard.wait(StepMeasured, seen + count)


def test_a_change_that_is_cancelled_while_the_prompt_is_read_again_leaves_the_old_weights(
    source: LiveSource, heard: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(source, heard, 3)
    prefill = Lockstep.prefill

    def cancelled(*_: object) -> None:
        raise Cancelled("Reading the prompt")

    monkeypatch.setattr(Lockstep, "prefill", cancelled)
    source.prune("drop-block@layers=1,2")
    assert heard.wait(Failed).title == "Cancelled"
    monkeypatch.setattr(Lockstep, "prefill", prefill)
    step(source, heard, 9)
    assert heard.steps() == expected(FIRST, 12)
    assert expected(FIRST, 12) != expected("drop-block@layers=1,2", 12)


def test_a_change_that_succeeds_is_measured_on_the_new_weights(source: LiveSource, heard: Listener) -> None:
    step(source, heard, 3)
    source.prune("drop-block@layers=1,2")
    heard.wait(RunStarted, 2)
    heard.wait(StepMeasured, 6)
    assert heard.steps()[3:] == expected("drop-block@layers=1,2", 3)


def test_any_token_can_be_forced_by_its_text(source: LiveSource, heard: Listener) -> None:
    step(source, heard, 3)
    source.fork(2, dense="z")
    heard.wait(BranchOpened)
    forced = heard.wait(StepMeasured, 4).record.taken
    assert forced is not None
    assert (forced.token, forced.forced) == ("z", True)


@pytest.mark.parametrize("text", ["zq", "z" * 20])
def test_what_is_not_one_token_is_refused_with_its_pieces(source: LiveSource, heard: Listener, text: str) -> None:
    step(source, heard, 3)
    source.fork(2, dense=text)
    failed = heard.wait(Failed)
    assert f"is {len(text)} tokens: “z”" in failed.message
    assert not heard.of(BranchOpened)
