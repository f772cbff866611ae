"""Explanations are found beside stepping: they change no step, can be cancelled, and never outlive their run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from explorer.sources import kept_findings
from explorer.sources.live import LiveSource
from probes.explain.pieces import Piece
from probes.explain.step import explain
from probes.explain.swaps import Exchanges
from probes.pair import Pair, pair_with_twin
from probes.schema.errors import FailureKind
from probes.schema.events import BranchOpened, Event, Explained, Failed, RunStarted, StepMeasured, WorkProgressed
from probes.schema.explanation import Layers, Swaps
from probes.schema.findings import Finding, Kind, kind_of
from probes.schema.noise_floor import NoiseFloor
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.repair import Repair
from probes.schema.requests import Cancel, Explain, FindRepair, Fork, Prune, Request, Restart, Select, Step
from probes.schema.settings import Follow, RunSettings
from tests.support.live import Listener
from tests.support.prune_models import FEW, loaded

SETTINGS = RunSettings("abcdef", follow=Follow.FREE, steps=40)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def pair() -> Pair:
    return pair_with_twin(loaded("llama"), parse("magnitude:0.6"), FEW)


def path(count: int) -> list[StepRecord]:
    with pair().lockstep(SETTINGS) as lockstep:
        return [lockstep.step() for _ in range(count)]


def found_alone(steps: Sequence[int], kinds: tuple[str, ...], length: int) -> list[Finding]:
    """What is found about each of these steps of a run of that length, without a source."""
    with pair().lockstep(SETTINGS) as lockstep:
        for _ in range(length):
            lockstep.step()
        return [one for step in steps for one in explain(lockstep, range(step, step + 1), kinds).found.values()]


class Acting(Listener):
    """Does something whenever the explanation that it listens for reports progress, which is between two passes."""

    def __init__(self) -> None:
        super().__init__()
        self.source: LiveSource
        self.request = 0
        self.act: Callable[[int], None] = lambda _time: None
        self.times = 0

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, WorkProgressed) and event.request == self.request != 0:
            self.times += 1
            self.act(self.times)

    def ask(self, request: Request) -> Request:
        """Asks, and acts on the request's progress if it explains something."""
        if isinstance(request, Explain):
            self.request = request.id
        self.source.ask(request)
        return request

    def until_waiting(self) -> None:
        """Waits until another thread waits for the models."""
        while len(self.source._models._waiting) < 2:
            threading.Event().wait(0.001)

    def explained(self) -> list[Explained]:
        return [event for event in self.of(Explained) if event.final]


@pytest.fixture
def heard() -> Iterator[Acting]:
    acting = Acting()
    acting.source = LiveSource(lambda _work: pair(), SETTINGS)
    acting.source.open(acting)
    acting.wait(RunStarted)
    yield acting
    acting.source.close()


def stepped(heard: Acting, count: int) -> None:
    """Steps until so many have been shown in all."""
    for _ in range(len(heard.steps()), count):
        heard.ask(Step())
    heard.wait(StepMeasured, count)


def test_steps_are_taken_meanwhile_and_both_are_as_they_are_alone(heard: Acting) -> None:
    stepped(heard, 5)
    taken: list[int] = []

    def step_on(_time: int) -> None:
        heard.ask(Step())
        if len(heard.steps()) < 16:  # more than were read ahead
            heard.until_waiting()
        taken.append(len(heard.steps()))

    heard.act = step_on
    kinds: tuple[Kind, ...] = ("layers", "split", "quadrants", "swaps", "fork")
    request = heard.ask(Explain(2, kinds=kinds))
    assert heard.source.wait_idle(60)
    assert taken[-1] > 5 + 8, "more steps than had been read ahead were taken before it was done"
    assert heard.steps() == path(len(heard.steps()))
    events = heard.explained()
    assert [(event.run, event.branch, event.step, event.through, event.request) for event in events] == [
        (1, 0, 2, None, request.id)
    ] * len(kinds)
    assert [event.found for event in events] == found_alone([2], kinds, 5)


def test_caches_and_forks_beside_stepping_are_as_they_are_alone(heard: Acting) -> None:
    stepped(heard, 8)
    split = next(one.step for one in heard.steps() if one.same_context and one.agree is False)

    def step_on(time: int) -> None:
        if time % 8 == 1:
            heard.ask(Step())
            if len(heard.steps()) < 16:
                heard.until_waiting()

    heard.act = step_on
    heard.ask(Explain(split, kinds=("quadrants", "fork")))
    assert heard.source.wait_idle(60)
    assert len(heard.steps()) > 8
    assert heard.steps() == path(len(heard.steps()))
    assert [event.found for event in heard.explained()] == found_alone([split], ("quadrants", "fork"), 8)


def test_asked_twice_it_is_answered_from_what_is_there(heard: Acting) -> None:
    stepped(heard, 3)
    for _ in range(2):
        heard.ask(Explain(2, kinds=("layers", "swaps")))
        assert heard.source.wait_idle(60)
    events = heard.explained()
    assert [kind_of(event.found) for event in events] == ["layers", "swaps"] * 2
    assert events[2].found is events[0].found
    assert events[3].found is events[1].found
    assert events[3].request != events[1].request


def test_a_cancelled_one_keeps_what_has_arrived_and_leaves_no_hook(heard: Acting) -> None:
    stepped(heard, 3)
    heard.act = lambda time: heard.source.ask(Cancel(heard.request)) if time == 2 else None
    request = heard.ask(Explain(3, kinds=("layers", "swaps")))
    failed = heard.wait(Failed)
    assert heard.source.wait_idle(60)
    assert (failed.kind, failed.request) == (FailureKind.CANCELLED, request.id)
    assert [kind_of(event.found) for event in heard.explained()] == ["layers"]
    shown = heard.source._pair
    assert shown is not None
    for model in (shown.dense.model, shown.pruned.model):
        assert not any(hooked(module) for module in model.modules())
    stepped(heard, 4)
    assert heard.source.wait_idle(60)
    assert heard.steps() == path(4)


def test_cancelled_exchanges_resume_where_they_were(heard: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped(heard, 3)
    measured: Counter[Part | Piece] = Counter()
    cut: list[Part | Piece] = []
    each = Exchanges.each

    def counted(one: Exchanges, parts: Sequence[Part | Piece], *more: Any) -> list[Tensor]:
        found = each(one, parts, *more)
        measured.update(parts)
        if not cut and set(measured.values()) == {1, 2}:  # the second parts are healed, and do no damage yet
            cut.extend(parts)
            heard.source.ask(Cancel(heard.request))
        return found

    monkeypatch.setattr(Exchanges, "each", counted)
    heard.ask(Explain(3, kinds=("swaps",)))
    assert heard.source.wait_idle(60)
    assert not heard.explained()
    assert {measured[part] for part in cut} == {1}, "it was cancelled between the two directions"
    first = set(measured) - set(cut)
    heard.ask(Explain(3, kinds=("swaps",)))
    assert heard.source.wait_idle(60)
    (event,) = heard.explained()
    assert isinstance(event.found, Swaps)
    assert 0 < len(first) < len(measured) == len(event.found.heal)
    assert measured == {part: 2 + (part in cut) for part in measured}, "what was exchanged before is kept"
    assert [event.found] == found_alone([3], ("swaps",), 3)


def test_only_the_pieces_of_one_sublayer_are_exchanged_and_others_are_kept(heard: Acting) -> None:
    stepped(heard, 3)
    heard.ask(Explain(3, kinds=("swaps",), level="matrix", within=Part("attn", 1)))
    heard.ask(Explain(3, kinds=("swaps",), level="matrix", within=Part("mlp", 0)))
    heard.ask(Explain(3, kinds=("swaps",), level="matrix", within=Part("attn", 1)))
    assert heard.source.wait_idle(60)
    first, second, again = (event.found for event in heard.explained())
    assert isinstance(first, Swaps)
    assert isinstance(second, Swaps)
    assert {(one.sublayer, one.layer) for one in first.heal} == {("attn", 1)}
    assert {(one.sublayer, one.layer) for one in second.heal} == {("attn", 1), ("mlp", 0)}
    assert again is second
    assert len({id(one) for one in (*second.damage, *second.heal)}) == 2 * len(second.heal)
    heard.ask(Explain(3, kinds=("swaps",), level="matrix"))
    assert heard.source.wait_idle(60)
    whole = heard.explained()[-1].found
    assert isinstance(whole, Swaps)
    assert set(second.heal) < set(whole.heal)
    heard.ask(Explain(3, kinds=("swaps",), level="matrix", within=Part("mlp", 1)))
    assert heard.source.wait_idle(60)
    assert heard.explained()[-1].found is whole


def hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)


@pytest.mark.parametrize(
    "change", [Prune(parse("magnitude:0.3")), Restart(replace(SETTINGS, prompt="fedcba"))], ids=["prune", "restart"]
)
def test_nothing_that_was_found_about_an_earlier_run_is_shown_in_the_next(heard: Acting, change: Request) -> None:
    stepped(heard, 3)

    def interrupt(time: int) -> None:
        if time == 2:
            heard.source.ask(replace(change))
            heard.until_waiting()
        elif time > 2:
            heard.until_waiting()

    heard.act = interrupt
    request = heard.ask(Explain(3, kinds=("layers", "swaps")))
    failed = heard.wait(Failed)
    assert heard.source.wait_idle(60)
    assert (failed.title, failed.request) == ("Nothing explained", request.id)
    begun = heard.events.index(heard.wait(RunStarted, 2))
    assert not [event for event in heard.events[begun:] if isinstance(event, Explained)]
    stepped(heard, len(heard.steps()) + 1)
    heard.act = lambda _time: None
    heard.ask(Explain(1, kinds=("layers",)))
    assert heard.source.wait_idle(60)
    assert heard.explained()[-1].run == 2


def test_a_setting_that_comes_back_is_explained_at_once(heard: Acting) -> None:
    stepped(heard, 3)
    heard.ask(Explain(2, kinds=("layers", "swaps")))
    heard.ask(Explain(0, kinds=("noise_floor",)))
    assert heard.source.wait_idle(60)
    before = [event.found for event in heard.explained()]
    for number, setting in enumerate(("magnitude:0.3", "magnitude:0.6"), 2):
        heard.ask(Prune(parse(setting)))
        heard.wait(RunStarted, number)
        assert heard.source.wait_idle(60)
    again = [event for event in heard.explained() if event.run > 1]
    assert {(event.run, event.branch) for event in again} == {(3, 0)}
    assert [event.found for event in again] == before
    heard.ask(Explain(2, kinds=("swaps",)))
    assert heard.source.wait_idle(60)
    assert heard.explained()[-1].found is before[1]


def test_findings_are_kept_for_the_same_steps_only_and_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps, floor = path(4), NoiseFloor(1, (), {}, "float32")
    monkeypatch.setattr(kept_findings, "MOST_FINDINGS", 4)
    kept = kept_findings.KeptFindings()
    found = [Explained(1, 2, 0, floor), Explained(1, 2, 3, floor), Explained(1, 2, 1, floor, through=4)]
    kept.keep("a", SETTINGS, steps, found)
    kept.keep("a", SETTINGS, steps, [])
    assert kept.find("a", SETTINGS, steps) == [replace(one, branch=0) for one in found]
    other = [*steps[:3], replace(steps[3], step=9)]
    assert [one.step for one in kept.find("a", SETTINGS, other)] == [0, 3]
    assert [one.step for one in kept.find("a", SETTINGS, steps[:2])] == [0]
    assert not kept.find("b", SETTINGS, steps)
    assert not kept.find("a", replace(SETTINGS, analysis_temperature=0.5), steps)
    kept.keep("b", SETTINGS, steps, found)
    assert not kept.find("a", SETTINGS, steps)
    assert len(kept.find("b", SETTINGS, steps)) == 3


def test_a_step_of_another_branch_is_explained_on_its_own_path(heard: Acting) -> None:
    stepped(heard, 4)
    heard.source.ask(Fork(3, dense=7))
    heard.wait(BranchOpened)
    assert heard.source.wait_idle(60)
    heard.ask(Step())
    assert heard.source.wait_idle(60)
    heard.act = lambda time: heard.source.ask(Select(0)) if time == 1 else None
    heard.ask(Explain(4, kinds=("swaps", "layers")))
    assert heard.source.wait_idle(60)
    heard.ask(Explain(2, kinds=("layers",)))
    assert heard.source.wait_idle(60)
    forked, same, before = heard.explained()
    assert (forked.branch, forked.step, same.branch, same.step) == (1, 4, 1, 4)
    assert (before.branch, before.step) == (0, 2)
    assert isinstance(forked.found, Swaps)
    with pair().lockstep(SETTINGS) as lockstep:
        for forced in (None, None, 7, None):
            lockstep.step(dense=forced)
        assert explain(lockstep, range(4, 5), ("swaps",)).swaps == forked.found


def test_each_step_of_a_window_is_explained_alone_and_the_nearest_first(heard: Acting) -> None:
    stepped(heard, 6)
    heard.ask(Explain(1, through=6, kinds=("layers",), near=4))
    assert heard.source.wait_idle(60)
    events = heard.explained()
    assert [event.step for event in events] == [4, 3, 5, 2, 6, 1]
    assert {event.through for event in events} == {None}
    assert [event.found for event in events] == found_alone([4, 3, 5, 2, 6, 1], ("layers",), 6)
    stepped(heard, 12)
    assert heard.source.wait_idle(60)
    assert heard.steps() == path(12)


def test_a_span_is_explained_together(heard: Acting) -> None:
    stepped(heard, 5)
    heard.ask(Explain(2, through=4))
    assert heard.source.wait_idle(60)
    (event,) = heard.explained()
    assert isinstance(event.found, Swaps)
    assert (event.step, event.through, event.found.steps) == (2, 4, 3)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Explain(9), "Step 9 is not there: the run has steps 1 to 3."),
        (Explain(0), "Step 0 is not there"),
        (Explain(1, through=10**9, near=2), "Step 1000000000 is not there"),
        (Explain(3, through=2), "Steps 3 to 2 are no span."),
        (Explain(1, through=3, kinds=("layers",)), "Steps can't be explained by layers together."),
        (Explain(1, kinds=("fork",)), "Both models choose one token at step 1"),
        (Explain(1, kinds=()), "Steps can't be explained by nothing together."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_can_not_be_explained_is_a_sentence(heard: Acting, request_: Explain, sentence: str) -> None:
    stepped(heard, 3)
    heard.ask(replace(request_))
    assert heard.source.wait_idle(60)
    failed = heard.of(Failed)[-1]
    assert sentence in failed.message
    assert not heard.of(Explained)


def test_a_repair_is_searched_beside_stepping_and_changes_nothing(heard: Acting) -> None:
    stepped(heard, 4)

    def step_on(_time: int) -> None:
        heard.ask(Step())
        if len(heard.steps()) < 14:  # more than were read ahead
            heard.until_waiting()

    heard.act = step_on
    request = FindRepair(2, 3, target_kl=0.05)
    heard.request = request.id
    heard.ask(request)
    assert heard.source.wait_idle(60)
    assert not heard.of(Failed)
    (event,) = heard.explained()
    assert (event.branch, event.step, event.through, event.request) == (0, 2, 3, request.id)
    assert isinstance(event.found, Repair)
    assert event.found.reached
    assert event.found.span.kl_after <= 0.05 < event.found.span.kl_before
    assert heard.steps() == path(len(heard.steps()))
    heard.act = lambda _time: None
    heard.ask(FindRepair(2, 90, target_kl=0.1))
    heard.ask(FindRepair(2, target_kl=-1.0))
    assert heard.source.wait_idle(60)
    assert [failed.title for failed in heard.of(Failed)] == ["No such step", "Target"]


def test_a_repair_of_a_model_that_is_pruned_meanwhile_is_refused(heard: Acting) -> None:
    stepped(heard, 4)

    def interrupt(time: int) -> None:
        if time == 2:
            heard.source.ask(Prune(parse("magnitude:0.3")))
        if time >= 2:
            heard.until_waiting()

    heard.act = interrupt
    request = FindRepair(2, target_kl=0.05)
    heard.request = request.id
    heard.ask(request)
    failed = heard.wait(Failed)
    assert heard.source.wait_idle(60)
    assert (failed.title, failed.request) == ("Nothing explained", request.id)
    assert not heard.of(Explained)


def test_what_is_about_the_whole_run_names_no_step(heard: Acting) -> None:
    heard.ask(Explain(0, kinds=("noise_floor",)))
    assert heard.source.wait_idle(60)
    assert "Step 0 is not there: the run has no steps." in heard.of(Failed)[-1].message
    stepped(heard, 5)
    heard.ask(Explain(0, kinds=("noise_floor",)))
    assert heard.source.wait_idle(60)
    (event,) = heard.explained()
    assert (event.branch, event.step, event.through) == (0, 0, None)
    assert isinstance(event.found, NoiseFloor)
    assert heard.source.wait_idle(60)
    stepped(heard, 16)
    assert heard.source.wait_idle(60)
    assert heard.steps() == path(16)


def test_closing_does_not_wait_for_it(heard: Acting) -> None:
    stepped(heard, 3)
    reached = threading.Event()
    heard.act = lambda _time: reached.set()
    heard.ask(Explain(3, kinds=("swaps",)))
    assert reached.wait(60)
    heard.source.close()
    assert heard.source.wait_idle(60)
    layers = [event for event in heard.explained() if isinstance(event.found, Layers)]
    assert not layers
