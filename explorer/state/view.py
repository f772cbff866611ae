"""The state that the screens show, as a function of the events received and of the cursor."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TypeVar

from explorer.state.axis import Axis
from explorer.state.columns import Columns
from explorer.state.marks import Marks
from explorer.state.path_sums import PathSums
from explorer.state.setting_results import ResultsBook
from explorer.state.step_search import StepSearch
from explorer.state.timed_work import Clock, TimedWork, WorkTimer
from probes.schema.branches import Branches
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    DocumentsCompared,
    Event,
    Explained,
    Failed,
    ItemScored,
    Judged,
    Noticed,
    PassagesFound,
    PlaybackChanged,
    PromptRendered,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    SweepRead,
    WorkProgressed,
)
from probes.schema.findings import KINDS, Finding, kind_of
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.summary import Summary
from probes.schema.watch import WatchedGroup

F = TypeVar("F", bound=Finding)
_NAMES: dict[type, str] = {kind: name for name, kind in KINDS.items()}
_Place = tuple[int, int, int | None, str, str]
"""Branch, step, last step, kind and level of a finding."""

SPEED_WINDOW = 12
"""Steps over which the speed is measured."""


LEAST_WINDOW = 8
"""Steps the charts show at least."""


class Phase(StrEnum):
    """The state of a run, as the screens show it."""

    STARTING = "starting"
    """Nothing has arrived yet."""
    WORKING = "working"
    """A download, a load, a calibration."""
    FAILED = "failed"
    """The models could not be loaded, and there is no earlier run to show."""
    READY = "ready"
    """Both models are ready; nothing is generated."""
    RUNNING = "running"
    PAUSED = "paused"


class Under(StrEnum):
    """What is under a source that was opened from another one."""

    SWEEP = "the sweep"
    ITEMS = "the items"
    TOUR = "the run of the tour"


class View:
    """Folds events; holds the cursor. Everything else on the screen is derived from it."""

    def __init__(self, *, live: bool = True, can_load: bool = False, clock: Clock = time.monotonic) -> None:
        self.live = live
        """False if the steps were recorded: commands that need the models are then unavailable."""
        self.playback: PlaybackChanged | None = None
        """How a recording is played, if there is one."""
        self.can_load = can_load
        """True if the models of a recording can be loaded."""
        self.returnable = False
        """True if there is a recording to go back to in case its models can't be loaded."""
        self.under: Under | None = None
        """What Esc comes back to, if this source was opened from another one."""
        self.opens_items = False
        """True if the models of a results file can be loaded, so that its items open as runs."""
        self.run = 0
        self.header: RunHeader | None = None
        self.branches = Branches()
        self.columns = Columns()
        self.work: TimedWork | None = None
        """The slow work in progress; None if there is none."""
        self.running = False
        self.pause: RunPaused | None = None
        """Why the run is paused."""
        self.failure: Failed | None = None
        """The latest failure, until something arrives that shows it is over."""
        self._found: dict[_Place, Explained] = {}
        self.found = 0
        """How many findings have arrived in this run, so that widgets know to draw them again."""
        self.beside: dict[int, WorkProgressed | Failed | None] = {}
        """Requests for work that steps are taken beside: how far it is, or why it failed; None until it says so."""
        self.results = ResultsBook()
        """What is known over many items, of each prune setting."""
        self.sweep: SweepRead | None = None
        """The latest state of the sweep, if the source is one."""
        self.rendered: PromptRendered | None = None
        """The latest prompt that was asked for as tokens."""
        self.opened_as: tuple[RunSettings, str] | None = None
        """The settings of the run that was begun to look at an item or a passage, and its name."""
        self.to_split = False
        """True if the cursor goes to the first split as soon as the answers to an opened item are written."""
        self.span: tuple[int, int] | None = None
        """The first and the last step of the span that is marked to be explained together."""
        self.search: StepSearch | None = None
        """What is searched in the run."""
        self.searched: tuple[str, ...] = ()
        """Recent searches, the latest first."""
        self.marks = Marks()
        self.following = True
        self._played = False
        """True once this run was running here. A recording that was opened but not played never was."""
        self.log_scale = True
        """Divergences are drawn by powers of ten; False draws them from zero."""
        self.window: int | None = None
        """How many steps the charts show around the cursor; None shows all."""
        self.own_contexts = False
        """The table of a diverged step shows each model on its own text; False shows both on the dense one."""
        self.generation = 0
        """Grows whenever another path is shown, so that widgets know to draw it from the start."""
        self._cursor = 0
        self._kept = False
        """True if the next run is one of the same steps, in which the cursor stays at its step."""
        self._explained_at: tuple[tuple[int, int, int], list[int]] = ((0, 0, 0), [])
        self._sums = PathSums()
        self._summary: tuple[int, int, Summary] | None = None
        self._clock = clock
        self._arrivals: deque[float] = deque(maxlen=SPEED_WINDOW + 1)
        self._timer = WorkTimer(clock)

    # Folding.

    def apply(self, event: Event) -> None:
        """Takes one event; those of an earlier run are passed over."""
        match event:
            case WorkProgressed() | Failed() if event.request in self.beside:
                self.beside[event.request] = event
            case WorkProgressed():
                self.work, self.failure = self._timer.timed(event, self.work), None
            case RunStarted():
                self._start(event)
            case Failed():
                self.failure = event
                self.work = None
                self._kept = False
            case Noticed():
                pass
            case ItemScored() | DocumentsCompared() | Judged() | PassagesFound():
                self.results.take(event)
            case SweepRead():
                self.sweep, self.failure = event, None
            case PlaybackChanged():
                self.playback = event
            case PromptRendered():
                self.rendered = event
            case _ if event.run != self.run:
                pass
            case StepMeasured():
                self._step(event)
            case BranchOpened():
                self.branches.open(event.branch)
                self.pause = None
                self._show_path()
                self.following = True
            case BranchSelected():
                self.branches.current = event.branch
                self.pause = None
                self._show_path()
            case RunResumed():
                self.running = self._played = True
                self.pause = None
                self._arrivals.clear()
            case RunPaused():
                self.running = False
                self.pause = event
                if not self.live and not self._played and self.following:
                    self.move_to(self.last_compared() or self.newest)
                if self.to_split and self.path and (self.opened or self.under is Under.ITEMS):
                    self.to_split = False
                    if self.following and self.split:
                        self.move_to(self.split)
            case Explained():
                self._found[event.branch, event.step, event.through, kind_of(event.found), event.level] = event
                self.found += 1
                if event.final and self.work is not None and self.work.progress.request == event.request:
                    self.work = None

    @property
    def working_for(self) -> float:
        """Seconds since the first event of the work in progress."""
        return self._clock() - self.work.began if self.work is not None else 0.0

    def _start(self, event: RunStarted) -> None:
        self.run, self.header = event.run, event.header
        self.results.begin(event.header)
        self.marks.begin(event.header)
        self.branches = Branches()
        self.running, self.pause, self._played = False, None, False
        self.work = self.failure = None
        self._found.clear()
        self.found = 0
        self._arrivals.clear()
        cursor, kept = self._cursor, self._kept and not self.following
        self._show_path()
        self.following, self._kept = not kept, False
        if kept:
            self._cursor = cursor

    def _step(self, event: StepMeasured) -> None:
        self.branches.add(event.branch, event.record)
        if event.branch == self.branches.current:
            self._sums.add(event.record)
            self.columns.catch_up()
        self._arrivals.append(self._clock())

    def _show_path(self) -> None:
        self.generation += 1
        self.columns = Columns(self.path)
        self.columns.catch_up()
        self._sums = PathSums(self.path)
        self._cursor = min(self._cursor, len(self.path))
        self._summary = None

    # The shown path.

    @property
    def revivable(self) -> bool:
        """True if there is a recording whose models can be loaded."""
        return self.can_load and self.playback is not None

    @property
    def opened(self) -> str:
        """The item or passage that the run shows; "" if it shows none."""
        if self.header is None or self.opened_as is None or self.opened_as[0] != self.header.settings:
            return ""
        return self.opened_as[1]

    @property
    def phase(self) -> Phase:
        if self.header is None:
            if self.work is not None:
                return Phase.WORKING
            return Phase.FAILED if self.failure is not None else Phase.STARTING
        if self.running:
            return Phase.RUNNING
        return Phase.PAUSED if self.path else Phase.READY

    @property
    def path(self) -> Sequence[StepRecord]:
        """The steps of the branch that is shown."""
        return self.branches.path()

    @property
    def newest(self) -> int:
        """The number of the newest step, 0 before any."""
        return len(self.branches.path())

    @property
    def cursor(self) -> int:
        """The step that every panel shows; 0 before any."""
        newest = len(self.branches.path())
        return newest if self.following else min(self._cursor, newest)

    @property
    def behind(self) -> int:
        return self.newest - self.cursor

    @property
    def record(self) -> StepRecord | None:
        """The step under the cursor."""
        cursor = self.cursor
        return self.path[cursor - 1] if cursor else None

    @property
    def follow(self) -> Follow:
        return self.header.settings.follow if self.header else Follow.DENSE

    @property
    def watch(self) -> tuple[WatchedGroup, ...]:
        """The groups of tokens that this run follows."""
        return self.header.settings.watch if self.header else ()

    @property
    def scores(self) -> bool:
        """True if a given text is scored: each of its tokens has a probability under either model."""
        return self.follow is Follow.TEXT

    @property
    def diverged(self) -> bool:
        """True if the texts diverge anywhere on this path: figures on shared and own contexts then differ."""
        return self.columns.diverged is not None

    @property
    def diverges_at(self) -> int | None:
        """The step at which the texts take different tokens, on this path."""
        return self.columns.diverges_at

    @property
    def split(self) -> int | None:
        """The first step at which the choices differ, on this path."""
        return self.path[-1].sum.first_split if self.path else None

    @property
    def axis(self) -> Axis:
        """The steps the charts show: all, or a window that keeps the cursor in its middle if possible."""
        whole = Axis.of(self.newest)
        if self.window is None or self.window >= whole.count:
            return whole
        first = max(1, min(self.cursor - self.window // 2, self.newest - self.window + 1))
        return Axis(first, first + self.window - 1)

    # What is found in it, and what is marked.

    @property
    def hits(self) -> Sequence[int]:
        """The steps at which the search finds something, in order."""
        if self.search is None:
            return ()
        key = (self.run, self.generation, self.marks.version)
        return self.search.steps(self.path, self.follow, key, self.is_marked)

    def is_marked(self, step: int) -> bool:
        return self.marks.has(self.branches, step)

    @property
    def marked(self) -> list[int]:
        """The marked steps of the path that is shown, in order."""
        return self.marks.steps(self.branches)

    # What explains it.

    @property
    def explained_steps(self) -> tuple[int, int | None]:
        """The step that is explained, and the last one if a span of several is marked."""
        first, last = self.span or (self.cursor, self.cursor)
        last = min(last, self.newest)
        if first > last:
            return self.cursor, None
        return first, last if last > first else None

    def explained(
        self, kind: type[F], step: int = 0, through: int | None = None, level: str = "sublayer"
    ) -> Explained | None:
        """The event of a finding, which says whether it is final; None if there is none."""
        branch = self.branches.owner(step) if step else 0
        return self._found.get((branch, step, through, _NAMES.get(kind, ""), level))

    def finding(self, kind: type[F], step: int = 0, through: int | None = None, level: str = "sublayer") -> F | None:
        """What explains a step of the path that is shown: `finding(Layers, 3)`; None if it has not arrived.

        `through` is the last step of a span. Without a step it is about the whole run, as a `NoiseFloor` is.
        """
        event = self.explained(kind, step, through, level)
        return event.found if event is not None and isinstance(event.found, kind) else None

    @property
    def explained_at(self) -> list[int]:
        """The steps of the path that is shown of which heal and damage, or what to give back, are there, in order; of a
        span its first step."""
        key = (self.run, self.generation, self.found)
        if self._explained_at[0] != key:
            owner = self.branches.owner
            there = {(branch, step) for branch, step, _, kind, _ in self._found if kind in ("swaps", "repair")}
            self._explained_at = key, sorted(step for branch, step in there if owner(step) == branch)
        return self._explained_at[1]

    def findings(self) -> Iterator[Explained]:
        """All findings of this run, of any branch."""
        return iter(self._found.values())

    def findings_up_to(self, step: int) -> list[Explained]:
        """The whole findings about steps of the path that is shown, up to this one."""
        owner = self.branches.owner
        return [
            one
            for one in self.findings()
            if one.step and one.final and (one.through or one.step) <= step and owner(one.step) == one.branch
        ]

    def widen(self, factor: float) -> None:
        """Shows more steps in the charts, or fewer; from eight up to all."""
        shown = max(LEAST_WINDOW, round(self.axis.count * factor))
        self.window = None if shown >= Axis.of(self.newest).count else shown

    @property
    def speed(self) -> float | None:
        """Steps a second over the last few, while running."""
        if not self.running or len(self._arrivals) < 3:
            return None
        span = self._arrivals[-1] - self._arrivals[0]
        return (len(self._arrivals) - 1) / span if span > 0 else None

    @property
    def summary(self) -> Summary:
        """Everything that has accumulated up to the cursor."""
        key = (self.generation, self.cursor)
        if self._summary is None or self._summary[:2] != key:
            self._summary = (*key, self._sums.at(self.cursor))
        return self._summary[2]

    # Where the person looks.

    def move_to(self, step: int) -> None:
        """Puts the cursor on a step; on the newest one it follows again."""
        step = max(1, min(step, self.newest))
        self.following = step >= self.newest
        self._cursor = step

    def move(self, steps: int) -> None:
        self.move_to(self.cursor + steps)

    def keep_cursor(self) -> None:
        """The next run measures the same steps again: the cursor goes to the step where it is now, and stays there."""
        self._kept = True

    def follow_newest(self) -> None:
        self.following = True

    def mark(self, *, first: bool) -> None:
        """Makes the cursor's step the first or the last of the span. The same mark once more removes the span."""
        step = self.cursor
        if not step:
            return
        start, end = self.span or (step, step)
        if self.span is not None and step == (start if first else end):
            self.span = None
        elif first:
            self.span = step, max(step, end)
        else:
            self.span = min(start, step), step

    def last_compared(self) -> int | None:
        """The last step at which the two models are compared at all, None before any."""
        return next((one.step for one in reversed(self.path) if one.shared is not None or one.own is not None), None)

    def highest_kl(self) -> int | None:
        """The step with the largest KL on one shared context (an infinite one before all), None before any."""
        column = self.columns.get("p.kl")
        best: tuple[float, int] | None = None
        for index in range(len(column)):
            found = column.at(index)
            if found is not None and found == found and (best is None or found > best[0]):
                best = (found, index + 1)
        return best[1] if best else None
