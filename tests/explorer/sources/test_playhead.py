"""The playhead decides when a run pauses, and which request an event answers, whoever measures the steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from explorer.sources.playhead import Playhead
from probes.schema.branches import Branch
from probes.schema.errors import BadInput
from probes.schema.events import Event, RunPaused, RunResumed, RunStarted, StepMeasured, Why
from probes.schema.record import StepRecord
from probes.schema.requests import Pause, Run, Step
from tests.support.records import recorded_events, records, settings

LONGEST = 6
EVENTS = recorded_events(1)
STEP = records(EVENTS)[0]
HEADER = replace(
    next(event.header for event in EVENTS if isinstance(event, RunStarted)), settings=settings(steps=LONGEST)
)


def begun() -> Playhead:
    head = Playhead()
    head.start(HEADER)
    return head


def next_step(head: Playhead) -> StepRecord:
    return replace(STEP, step=len(head.path) + 1)


def measured(head: Playhead, steps: int) -> list[Event]:
    """The events of so many steps, or fewer if the run pauses before."""
    found: list[Event] = []
    for _ in range(steps):
        found += head.take(next_step(head))
        if isinstance(found[-1], RunPaused):
            break
    return found


def paused(events: list[Event]) -> RunPaused:
    last = events[-1]
    assert isinstance(last, RunPaused)
    return last


@pytest.mark.parametrize(
    ("until", "last", "why"),
    [
        (("steps=2",), False, Why.UNTIL),
        (("steps=6",), False, Why.UNTIL),
        ((), False, Why.STEPS),
        (("steps=9",), False, Why.STEPS),
    ],
)
def test_a_run_pauses_for_its_condition_before_its_limit(until: tuple[str, ...], last: bool, why: Why) -> None:
    head = begun()
    run = Run(until)
    assert head.go(run) == [RunResumed(1, until)]
    events = measured(head, 20)
    assert paused(events).why is why
    assert paused(events).more == (LONGEST if why is Why.STEPS else 0)
    assert {event.request for event in events if not isinstance(event, RunStarted)} == {run.id}  # type: ignore[union-attr]
    assert not head.running


def test_a_run_goes_on_to_the_next_multiple_of_its_limit() -> None:
    head = begun()
    for done in (LONGEST, 2 * LONGEST):
        head.go(Run())
        assert paused(measured(head, 20)).step == done
    measured(head, 1)
    head.go(Run())
    assert paused(measured(head, 20)).step == 3 * LONGEST


def test_the_last_step_of_a_text_leaves_the_limit_aside() -> None:
    head = begun()
    head.go(Run())
    measured(head, LONGEST - 1)
    assert [type(event) for event in head.take(next_step(head), last=True)] == [StepMeasured]
    assert head.stop(Why.ENDED) == RunPaused(1, Why.ENDED, LONGEST)


def test_steps_that_are_measured_again_go_beyond_the_limit_and_then_pause() -> None:
    head = begun()
    head.again = LONGEST + 3
    head.go(Run())
    assert paused(measured(head, 20)) == RunPaused(1, Why.MEASURED, LONGEST + 3)


def test_a_recording_has_no_limit() -> None:
    head = Playhead(limited=False)
    head.start(HEADER)
    head.go(Run())
    measured(head, 5 * LONGEST)
    assert (head.running, len(head.path)) == (True, 5 * LONGEST)


def test_each_single_step_answers_its_own_request() -> None:
    head = begun()
    asked = [Step(), Step()]
    assert [head.step(one) for one in asked] == [True, True]
    assert [event.request for event in measured(head, 2) if isinstance(event, StepMeasured)] == [a.id for a in asked]
    assert not head.wanted


def test_a_run_that_was_asked_for_before_a_pause_does_not_begin_after_it() -> None:
    head = begun()
    run, pause = Run(), Pause()
    assert head.pause(pause.id) == []
    assert head.go(run) == []
    assert not head.running
    assert head.go(Run()) != []


def test_a_condition_that_is_none_changes_nothing() -> None:
    head = begun()
    with pytest.raises(BadInput):
        head.go(Run(("whenever",)))
    assert not head.running


def test_a_pause_says_after_which_step_and_for_whom() -> None:
    head = begun()
    head.go(Run())
    measured(head, 2)
    pause = Pause()
    [event] = head.pause(pause.id)
    assert isinstance(event, RunPaused)
    assert (event, event.request) == (RunPaused(1, Why.ASKED, 2), pause.id)
    assert head.pause(Pause().id) == [], "it is paused already"


class Runs(RuleBasedStateMachine):
    """Whatever is asked in whatever order, the events make one consistent run."""

    def __init__(self) -> None:
        super().__init__()
        self.head = begun()
        self.running = False
        self.owed: list[int] = []
        self.request = 0

    def hear(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, RunResumed):
                assert not self.running
                self.running, self.request = True, event.request
            elif isinstance(event, RunPaused):
                assert event.step == len(self.head.path)
                self.running = False
                self.owed.clear()

    @rule()
    def step(self) -> None:
        request = Step()
        if self.head.step(request):
            self.owed.append(request.id)

    @rule(until=st.sampled_from([(), ("steps=1",), ("steps=9",)]))
    def go(self, until: tuple[str, ...]) -> None:
        request = Run(until)
        self.hear(self.head.go(request))
        self.request = request.id

    @rule()
    def pause(self) -> None:
        self.hear(self.head.pause(Pause().id))
        self.owed.clear()

    @precondition(lambda self: self.head.wanted)
    @rule()
    def measure(self) -> None:
        before = len(self.head.path)
        answers = self.request if self.running else self.owed.pop(0)
        events = self.head.take(next_step(self.head))
        assert isinstance(events[0], StepMeasured)
        assert (events[0].record.step, events[0].request) == (before + 1, answers)
        if isinstance(events[-1], RunPaused):
            assert events[-1].request == answers
            assert events[-1].why is Why.UNTIL or len(self.head.path) % LONGEST == 0
        self.hear(events)

    @precondition(lambda self: len(self.head.branches) < 4)
    @rule(back=st.integers(0, 3))
    def fork(self, back: int) -> None:
        branches, path = self.head.branches, self.head.path
        self.hear(self.head.rest())
        self.owed.clear()
        step = max(1, len(path) - back)
        self.hear([self.head.open(Branch(branches.next_id(), branches.current, step, 7))])
        self.hear(self.head.take(next_step(self.head), request=99))

    @rule()
    def begin_again(self) -> None:
        self.head.start(HEADER)
        self.running = False
        self.owed.clear()

    @invariant()
    def the_events_say_what_the_playhead_does(self) -> None:
        assert self.head.running == self.running
        assert self.head.wanted == (self.running or bool(self.owed))
        assert [record.step for record in self.head.path] == list(range(1, len(self.head.path) + 1))


Runs.TestCase.settings = limits(max_examples=60, stateful_step_count=30, deadline=None)
TestRuns = Runs.TestCase
