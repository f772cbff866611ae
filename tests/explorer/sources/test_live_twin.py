"""Live models with a twin that is really pruned: what goes wrong on the way leaves the run that is shown as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explorer.sources.live import LiveSource
from probes.pair import Pair, pair_with_twin
from probes.schema.errors import Cancelled
from probes.schema.events import BranchOpened, Failed, RunPaused, RunStarted, StepMeasured, Why
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.requests import Fork, Prune, Step
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep
from tests.support.live import Listener
from tests.support.prune_models import FEW, loaded

SETTINGS = RunSettings("abcdef", follow=Follow.DENSE, steps=20)
FIRST = "drop-attn@layers=1"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def pair(setting: str = FIRST) -> Pair:
    return pair_with_twin(loaded("llama"), parse(setting), FEW)


def expected(setting: str, count: int) -> list[StepRecord]:
    with pair(setting).lockstep(SETTINGS) as lockstep:
        return [lockstep.step() for _ in range(count)]


@pytest.fixture
def heard() -> Listener:
    return Listener()


@pytest.fixture
def source(heard: Listener) -> Iterator[LiveSource]:
    live = LiveSource(lambda _work: pair(), SETTINGS)
    live.open(heard)
    heard.wait(RunStarted)
    yield live
    live.close()


def step(source: LiveSource, heard: Listener, count: int) -> None:
    seen = len(heard.steps())
    for _ in range(count):
        source.ask(Step())
    heard.wait(StepMeasured, seen + count)


def test_a_change_that_is_cancelled_while_the_prompt_is_read_again_leaves_the_old_weights(
    source: LiveSource, heard: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(source, heard, 3)
    prefill = Lockstep.prefill

    def cancelled(*_: object) -> None:
        raise Cancelled("Reading the prompt")

    monkeypatch.setattr(Lockstep, "prefill", cancelled)
    source.ask(Prune(parse("drop-block@layers=1,2")))
    assert heard.wait(Failed).title == "Cancelled"
    monkeypatch.setattr(Lockstep, "prefill", prefill)
    step(source, heard, 9)
    assert heard.steps() == expected(FIRST, 12)
    assert expected(FIRST, 12) != expected("drop-block@layers=1,2", 12)


def test_a_change_that_succeeds_is_measured_on_the_new_weights(source: LiveSource, heard: Listener) -> None:
    step(source, heard, 3)
    source.ask(Prune(parse("drop-block@layers=1,2")))
    heard.wait(RunStarted, 2)
    heard.wait(StepMeasured, 6)
    assert heard.steps()[3:] == expected("drop-block@layers=1,2", 3)


SECOND = "drop-block@layers=1,2"


def shown(heard: Listener, run: int) -> list[StepRecord]:
    return [event.record for event in heard.of(StepMeasured) if event.run == run]


def test_a_setting_that_comes_back_shows_its_steps_without_measuring_them(
    source: LiveSource, heard: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(source, heard, 6)
    source.ask(Prune(parse(SECOND)))
    heard.wait(StepMeasured, 12)

    def measured(*_: Any, **__: Any) -> StepRecord:
        raise AssertionError("no step is measured again")

    heard.wait(RunPaused)
    with monkeypatch.context() as patch:
        patch.setattr(Lockstep, "step", measured)
        patch.setattr(Lockstep, "prefill", measured)
        source.ask(Prune(parse(FIRST)))
        heard.wait(StepMeasured, 18)
        heard.wait(RunPaused, 2)
    assert shown(heard, 3) == shown(heard, 1) == expected(FIRST, 6)
    source.ask(Prune(parse(SECOND)))
    heard.wait(StepMeasured, 24)
    assert shown(heard, 4) == shown(heard, 2) == expected(SECOND, 6)
    step(source, heard, 3)
    again = shown(heard, 4)
    assert [record.step for record in again] == list(range(1, 10))
    assert again[-1].own is not None
    fresh = expected(SECOND, 9)[-1]
    assert fresh.own is not None
    assert again[-1].own.p.kl == pytest.approx(fresh.own.p.kl, abs=1e-5), "read at once, which moves the last digits"


def test_a_change_that_interrupts_measuring_again_has_all_steps_measured(heard: Listener) -> None:
    third = "drop-mlp@layers=1"
    live = LiveSource(lambda _work: pair(), SETTINGS)
    live.open(heard)
    heard.wait(RunStarted)
    step(live, heard, 12)

    def impatient(event: object) -> None:
        heard(event)  # type: ignore[arg-type]
        if isinstance(event, StepMeasured) and (event.run, event.record.step) == (2, 3):
            live.ask(Prune(parse(third)))
        if isinstance(event, StepMeasured) and (event.run, event.record.step) == (3, 5):
            live.ask(Prune(parse(SECOND)))

    live._sink = impatient
    live.ask(Prune(parse(SECOND)))
    heard.wait(RunPaused, 3)
    live.close()
    assert len(shown(heard, 2)) == 3
    assert len(shown(heard, 3)) == 5
    assert shown(heard, 4)[:3] == shown(heard, 2), "what was measured before is shown again"
    assert [record.step for record in shown(heard, 4)] == list(range(1, 13))
    assert heard.of(RunPaused)[-1].why is Why.MEASURED


def test_tokens_forced_since_are_not_taken_for_the_path_that_was_measured(source: LiveSource, heard: Listener) -> None:
    step(source, heard, 5)
    source.ask(Prune(parse(SECOND)))
    heard.wait(StepMeasured, 10)
    source.ask(Fork(4, dense="z"))
    heard.wait(StepMeasured, 11)
    source.ask(Prune(parse(FIRST)))
    heard.wait(StepMeasured, 15)
    back = shown(heard, 3)
    assert back[:3] == expected(FIRST, 3)
    assert back[3].taken is not None
    assert (back[3].taken.token, back[3].taken.forced) == ("z", True)


def test_any_token_can_be_forced_by_its_text(source: LiveSource, heard: Listener) -> None:
    step(source, heard, 3)
    source.ask(Fork(2, dense="z"))
    heard.wait(BranchOpened)
    forced = heard.wait(StepMeasured, 4).record.taken
    assert forced is not None
    assert (forced.token, forced.forced) == ("z", True)


@pytest.mark.parametrize("text", ["zq", "z" * 20])
def test_what_is_not_one_token_is_refused_with_its_pieces(source: LiveSource, heard: Listener, text: str) -> None:
    step(source, heard, 3)
    source.ask(Fork(2, dense=text))
    failed = heard.wait(Failed)
    assert f"is {len(text)} tokens: “z”" in failed.message
    assert not heard.of(BranchOpened)


def test_a_fork_that_is_asked_for_twice_opens_one_branch(source: LiveSource, heard: Listener) -> None:
    step(source, heard, 3)
    source.ask(Fork(2, dense="z"))
    source.ask(Fork(2, dense="z"))
    source.ask(Fork(99, dense="z"))
    assert "99" in heard.wait(Failed).message, "the second fork before it went without a word"
    assert len(heard.of(BranchOpened)) == 1


def test_a_typed_token_that_the_text_takes_anyway_is_refused(source: LiveSource, heard: Listener) -> None:
    step(source, heard, 3)
    taken = heard.steps()[1].taken
    assert taken is not None
    source.ask(Fork(2, dense=taken.token_id))
    assert "already" in heard.wait(Failed).message
    assert not heard.of(BranchOpened)
