"""The state of a run: which path it is on, whether it runs, until when, and which single steps are owed.

A pure object, without threads and without models. A source tells it what was asked and what was measured, and sends the
events that it returns. Live models, a recording, toy models and `phier run` share it, so they agree on when a run
pauses, and which request an event answers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from probes.schema.branches import Branch, Branches
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Event,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
)
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.requests import Run, Step
from probes.schema.until import Until, first_met, parse_until


class Playhead:
    """One run at a time; `start` begins the next."""

    def __init__(self, *, limited: bool = True) -> None:
        """A recording is not `limited`: it plays to its end, not to the settings' number of steps."""
        self.run = 0
        """The number of the run; 0 before the first."""
        self.branches = Branches()
        self.running = False
        self.again = 0
        """Steps to be measured again under another prune setting before the run pauses by itself; 0 if none are."""
        self._limited = limited
        self._longest = 0
        """The settings' number of steps: a run pauses at each multiple of it."""
        self._limit = 0
        """The step at which this run pauses."""
        self._until: list[Until] = []
        self._owed: deque[int] = deque()
        """The requests for single steps that are not answered yet."""
        self._request = 0
        """The request that the run answers while it runs."""
        self._paused_by = 0
        """The latest request to pause. A run that was asked for before it must not begin after it."""

    @property
    def path(self) -> list[StepRecord]:
        """The steps of the current branch."""
        return self.branches.path()

    @property
    def wanted(self) -> bool:
        """True if the next step is to be shown as soon as there is one."""
        return self.running or bool(self._owed)

    @property
    def answering(self) -> int:
        """The request that the next step answers; 0 if none waits for one."""
        return self._request if self.running else self._owed[0] if self._owed else 0

    # What is asked.

    def start(self, header: RunHeader, request: int = 0) -> RunStarted:
        """Begins a new run, before its first step."""
        self.run += 1
        self.branches = Branches()
        self._longest = header.settings.longest
        self.again = 0
        self._rest()
        return RunStarted(self.run, header, request=request)

    def step(self, request: Step) -> bool:
        """Notes that one more step is asked for. False while the run is going, which shows that step anyway."""
        if not self.running:
            self._owed.append(request.id)
        return not self.running

    def go(self, request: Run) -> list[Event]:
        """Runs until a condition is met or the limit is reached. Raises `BadInput` if a condition can't be read.

        Nothing happens if a pause was asked for after this request.
        """
        if request.id < self._paused_by:
            return []
        done = len(self.path)
        self._until = [parse_until(text, done) for text in request.until]
        self._limit = max(self.again, self._longest * (done // self._longest + 1)) if self._limited else 0
        resumed: list[Event] = [] if self.running else [RunResumed(self.run, request.until, request=request.id)]
        self.running, self._request = True, request.id
        return resumed

    def pause(self, request: int = 0) -> list[Event]:
        """Pauses, and drops earlier requests to run or to step."""
        self._paused_by = max(self._paused_by, request)
        return self.rest(request)

    def rest(self, request: int = 0, why: Why = Why.ASKED) -> list[Event]:
        """Pauses if the run is going, and drops single steps that were asked for."""
        if not self.running:
            self._owed.clear()
            return []
        return [self.stop(why, request)]

    def open(self, branch: Branch, request: int = 0) -> BranchOpened:
        """Opens a branch, which is then the current one."""
        self.again = 0
        self.branches.open(branch)
        return BranchOpened(self.run, branch, request=request)

    def select(self, branch: int, request: int = 0) -> BranchSelected:
        """Makes another branch the current one."""
        self.again = 0
        self.branches.current = branch
        return BranchSelected(self.run, branch, request=request)

    # What happens.

    def take(
        self, record: StepRecord, seconds: float = 0.0, *, last: bool = False, request: int | None = None
    ) -> list[Event]:
        """Makes a step part of the run; says why the run pauses after it, if it does.

        The limit does not count at the `last` step: the caller knows why nothing follows. A `request` that made the
        step itself (a fork) is neither a run nor a single step.
        """
        answered = self.answering if request is None else request
        current = self.branches.current
        self.branches.add(current, record)
        events: list[Event] = [StepMeasured(self.run, current, record, seconds, request=answered)]
        if request is not None:
            return events
        if not self.running:
            if self._owed:
                self._owed.popleft()
            return events
        done = len(self.path)
        if met := first_met(self._until, self.path):
            events.append(self.stop(RunPaused(self.run, Why.UNTIL, met=met)))
        elif done == self.again:
            events.append(self.stop(Why.MEASURED))
        elif self._limit and done >= self._limit and not last:
            events.append(self.stop(RunPaused(self.run, Why.STEPS, more=self._longest)))
        return events

    def stop(self, pause: Why | RunPaused, request: int | None = None) -> RunPaused:
        """Pauses for a reason. The pause answers the request in progress, unless another one is named."""
        answered = self.answering if request is None else request
        self._rest()
        if isinstance(pause, Why):
            pause = RunPaused(self.run, pause)
        return replace(pause, run=self.run, step=len(self.path), request=answered)

    def _rest(self) -> None:
        self.running, self._request = False, 0
        self._owed.clear()
