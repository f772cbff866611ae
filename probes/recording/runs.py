"""Builds the runs of a recording from its lines; a lost line leaves only a gap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from probes.recording.lines import Line
from probes.schema.branches import Branch, Branches
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Explained,
    Failed,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
)
from probes.schema.findings import kind_of
from probes.schema.header import ModelInfo, RunHeader
from probes.schema.record import StepRecord, Sums
from probes.schema.recorded_table import RecordedTable
from probes.schema.settings import RunSettings

MOST_SHARED = 10_000_000
"""Steps that the lines of one run may repeat: a short line can copy a long path, or show it again."""
MOST_BRANCHES, DEEPEST = 1_000, 200
"""The most branches of one run, and the deepest nesting of branches."""
MOST_KINDS, MOST_COLUMNS = 50, 200
"""The most kinds of explanations in one run, and the most columns of each."""


@dataclass(slots=True)
class RecordedRun:
    """One run of a recording: the lines from its header to the next one."""

    number: int
    """The run's number in the file."""
    header: RunHeader
    lines: list[Line]
    """All events in order; the first is the `RunStarted`."""
    place: int = 1
    """Its place among the runs of the file, from 1."""
    branches: Branches = field(default_factory=Branches)
    """All paths; the current one was shown last."""
    seconds: dict[tuple[int, int], float] = field(default_factory=dict)
    """How long measuring a step took, by branch and step."""
    explanations: list[Explained] = field(default_factory=list)
    lost: int = 0
    """Unreadable lines of this run that may have been steps."""
    missing: list[int] = field(default_factory=list)
    """The steps that such lines leave empty."""
    shared: int = 0
    """Steps that branches repeat from their parents, and steps shown again when an earlier branch is selected."""
    _depths: dict[int, int] = field(default_factory=lambda: {0: 0})
    """The depth of each branch."""
    _kinds: dict[str, set[str]] = field(default_factory=dict)
    """The columns of the tables of each kind."""

    @property
    def headless(self) -> bool:
        """True if the header is lost; the models, prompt and settings are then unknown."""
        return self.header == unknown_header()

    @property
    def steps(self) -> int:
        """Steps measured on all branches."""
        return len(self.seconds)

    @property
    def path(self) -> list[StepRecord]:
        """The steps of the branch that was shown last."""
        return self.branches.path()

    def explained_path(self) -> list[Explained]:
        """What explains the run or a step of the path that was shown last; of each finding, the latest."""
        branches, there = self.branches, len(self.path)
        return latest_findings(
            event
            for event in self.explanations
            if event.branch in branches
            and event.step <= there
            and (not event.step or branches.owner(event.step) == branches.owner(event.step, event.branch))
        )

    def add(self, line: Line) -> str:
        """Takes a line of this run. Returns the reason if the line does not fit, else ""."""
        event = line.event
        match event:
            case StepMeasured():
                if not self._reach(event.branch, event.record.step):
                    return f"step {event.record.step} of branch {event.branch} does not follow"
                self.branches.add(event.branch, event.record)
                self.seconds[event.branch, event.record.step] = event.seconds
            case BranchOpened(branch=branch):
                if refused := self._open(branch):
                    return refused
            case BranchSelected():
                if event.branch not in self.branches:
                    return f"there is no branch {event.branch}"
                if not self._repeats(len(self.branches.path(event.branch))):
                    return f"selected branches repeat more than {MOST_SHARED:,} steps"
                self.branches.current = event.branch
            case Explained():
                table = event.found
                if isinstance(table, RecordedTable):
                    columns = self._kinds.get(table.what, set()).union(*table.rows)
                    known = table.what in self._kinds
                    if len(columns) > MOST_COLUMNS or (len(self._kinds) >= MOST_KINDS and not known):
                        return f"more than {MOST_KINDS} kinds of explanations, or {MOST_COLUMNS} columns in one"
                    self._kinds[table.what] = columns
                self.explanations.append(event)
            case RunStarted() | RunResumed() | RunPaused() | Failed():
                pass
        self.lines.append(line)
        return ""

    def _open(self, branch: Branch) -> str:
        """Opens a branch. Returns the reason if it can't be opened, else ""."""
        if branch.parent is None or branch.id in self.branches:
            return f"branch {branch.id} exists already"
        if not self._reach(branch.parent, branch.step, beyond=True):
            return f"branch {branch.id} leaves at a step that its parent never reached"
        depth = self._depths[branch.parent] + 1
        if depth > DEEPEST or len(self.branches) > MOST_BRANCHES or not self._repeats(branch.step - 1):
            return f"more than {MOST_BRANCHES:,} branches, {DEEPEST} in a row, or {MOST_SHARED:,} steps they repeat"
        self._depths[branch.id] = depth
        self.branches.open(branch)
        return ""

    def _repeats(self, steps: int) -> bool:
        """Counts repeated steps; False if there are too many."""
        self.shared += steps
        return self.shared <= MOST_SHARED

    def _reach(self, branch: int, step: int, *, beyond: bool = False) -> bool:
        """Makes `step` the branch's next step, adding an empty step for each lost line that may have been a step.

        `beyond` allows a step that the branch already has.
        """
        if branch not in self.branches:
            return False
        path = self.branches.path(branch)
        if beyond and 1 <= step <= len(path):
            return True
        gap = step - 1 - len(path)
        if not 0 <= gap <= self.lost:
            return False
        for _ in range(gap):
            record = empty_step(path)
            self.branches.add(branch, record)
            self.lines.append(Line(self.lines[-1].at, StepMeasured(self.number, branch, record)))
            self.missing.append(record.step)
        self.lost -= gap
        return True


def latest_findings(events: Iterable[Explained]) -> list[Explained]:
    """Of findings of one kind about the same steps, the latest; tables of older recordings all."""
    found: dict[object, Explained] = {}
    for event in events:
        table = isinstance(event.found, RecordedTable)
        place = (event.branch, event.step, event.through, kind_of(event.found), event.level)
        found[len(found) if table else place] = event
    return list(found.values())


def empty_step(path: list[StepRecord]) -> StepRecord:
    """The record for a step whose line can't be read: no figures, and the sums of the step before."""
    before = path[-1] if path else None
    return StepRecord(
        step=len(path) + 1,
        dense=None,
        pruned=None,
        taken=None,
        taken_pruned=None,
        same_context=before.same_context if before else True,
        agree=None,
        own=None,
        shared=None,
        sum=before.sum if before else Sums(0.0, 0.0, 0.0, 1.0, 1.0, None),
    )


def unknown_header() -> RunHeader:
    """The header that replaces one that can't be read."""
    model = ModelInfo(
        name="unknown",
        spec="",
        revision="",
        fingerprint="",
        architecture="",
        layers=0,
        hidden=0,
        vocabulary=0,
        parameters=0,
        dtype="",
        device="",
    )
    return RunHeader(model, model, None, RunSettings(""), "")
