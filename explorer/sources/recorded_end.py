"""The reason why a recorded run ends."""

from __future__ import annotations

from dataclasses import replace

from probes.recording import RecordedRun, Recording
from probes.schema.events import BranchOpened, BranchSelected, RunPaused, RunResumed, StepMeasured, Why

_LAST = frozenset({Why.ENDED, Why.TEXT, Why.INVALID, Why.STEPS, Why.CONTEXT})
"""The reasons for which a run ends by itself. After any other pause it could have continued."""


def end_of(recording: Recording, run: RecordedRun, branch: int) -> RunPaused:
    """The pause at the end of a branch: why the run ended there, if it did, or how the file ends."""
    last = _last_pause(run, branch)
    if last is not None and last.why in _LAST:
        return replace(last, more=0)  # a recording can't be run again
    if last is not None or run is not recording.runs[-1] or branch != _last_branch(run):
        return RunPaused(0, Why.RECORDED)
    return RunPaused(0, Why.CUT if recording.cut else Why.OPEN)


def _last_pause(run: RecordedRun, branch: int) -> RunPaused | None:
    """The pause after the last step of a branch; None if there is none."""
    found, current = None, 0
    for line in run.lines:
        match line.event:
            case StepMeasured(branch=current):
                found = None if current == branch else found
            case BranchOpened(branch=opened):
                current = opened.id
            case BranchSelected(branch=current):
                pass
            case RunPaused() as paused if current == branch:
                found = paused
            case RunResumed() if current == branch and found is not None and found.why not in _LAST:
                found = None
    return found


def _last_branch(run: RecordedRun) -> int:
    """The branch that was measured or shown last."""
    found = (line.event for line in reversed(run.lines))
    return next((event.branch for event in found if isinstance(event, (StepMeasured, BranchSelected))), 0)
