"""Runs that share one pair measure what each would measure alone."""

from __future__ import annotations

from functools import cache

import pytest

from explorer.sources.live import LiveSource, loader
from explorer.sources.shared_pair import OwnTurns, SharedPair
from probes.schema.events import StepMeasured
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.requests import Explain, Prune, Restart, Run, Step
from probes.schema.settings import RunSettings
from probes.schema.spec import CalibrationSpec, LoadOptions, OverlapMode, PairSpec
from probes.system.progress import UNWATCHED
from tests.support.live import Listener
from tests.support.tiny import byte_tokenizer, save, tiny

STEPS = 8
SETTINGS = RunSettings("Where does it part?", raw=True, steps=STEPS)
FIRST = "magnitude:0.3"


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> PairSpec:
    tokenizer = byte_tokenizer()
    folder = save(tmp_path_factory.mktemp("shared") / "model", tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    return PairSpec(
        str(folder),
        prune=parse(FIRST),
        calibration=CalibrationSpec(samples=2, length=16),
        load=LoadOptions(threads=1),
        overlap=OverlapMode.NONE,
    )


class Tab:
    """A run of a shared pair."""

    def __init__(self, shared: SharedPair, spec: PairSpec) -> None:
        self.heard, self.waited = Listener(), 0

        def load(work):
            return shared.loaded(work).repruned(parse(FIRST), work)

        self.source = LiveSource(load, SETTINGS, OwnTurns(shared, self._waits))
        self.source.open(self.heard)

    def _waits(self) -> None:
        self.waited += 1

    def idle(self) -> None:
        assert self.source.wait_idle(60)

    def steps(self) -> list[StepRecord]:
        """The steps of its latest run."""
        found = [event for event in self.heard.events if isinstance(event, StepMeasured)]
        return [event.record for event in found if event.run == found[-1].run]


@pytest.fixture
def shared(spec) -> SharedPair:
    return SharedPair(loader(spec))


@cache
def alone(spec: PairSpec, setting: str) -> list[StepRecord]:
    """All steps of a run that has a pair for itself."""
    with loader(spec)(UNWATCHED).repruned(parse(setting)).lockstep(SETTINGS) as lockstep:
        return [lockstep.step() for _ in range(STEPS)]


@pytest.mark.parametrize("other", ["drop-attn@layers=1", "sparsegpt:0.5"])
def test_two_runs_with_settings_of_their_own_step_in_turns(spec, shared, other):
    one, two = Tab(shared, spec), Tab(shared, spec)
    two.source.ask(Prune(parse(other)))
    one.idle()
    two.idle()
    for _ in range(STEPS):
        one.source.ask(Step())
        two.source.ask(Step())
        one.idle()
        two.idle()
    assert shared.pair is not None
    assert one.steps() == alone(spec, FIRST)
    assert two.steps() == alone(spec, other)
    assert one.steps() != two.steps()
    for tab in (one, two):
        tab.source.close()


def test_they_also_do_at_the_same_time_and_while_one_explains(spec, shared):
    one, two = Tab(shared, spec), Tab(shared, spec)
    one.source.ask(Run())
    two.source.ask(Run())
    one.idle()
    one.source.ask(Explain(3))
    two.source.ask(Prune(parse("magnitude:0.7")))
    one.source.ask(Restart(SETTINGS))
    one.source.ask(Run())
    one.idle()
    two.idle()
    assert one.steps() == alone(spec, FIRST)
    assert two.steps() == alone(spec, "magnitude:0.7")
    for tab in (one, two):
        tab.source.close()


def test_a_run_that_is_left_changes_nothing_for_the_others(spec, shared):
    one, two = Tab(shared, spec), Tab(shared, spec)
    two.source.ask(Prune(parse("drop-mlp@layers=0")))
    two.idle()
    two.source.close()
    one.source.ask(Run())
    one.idle()
    assert one.steps() == alone(spec, FIRST)
    three = Tab(shared, spec)
    three.source.ask(Run())
    three.idle()
    assert three.steps() == one.steps()


def test_who_waits_for_a_long_turn_is_told(shared):
    told: list[str] = []
    one, two = OwnTurns(shared, lambda: told.append("one")), OwnTurns(shared, lambda: told.append("two"))
    with one.turn():
        assert shared.long_turn is one
    with two.turn():
        pass
    shared.long_turn = one
    with two.turn(brief=True):
        pass
    assert told == ["two"]
