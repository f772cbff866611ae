"""`phier run`: the same steps without the screen, recorded as they happen."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.sources.playhead import Playhead
from explorer.sources.recorder import Recorder
from explorer.sources.source import Sink
from explorer.sources.subjects import Subject
from probes.schema.errors import Failure
from probes.schema.events import Event, Failed, Noticed, RunPaused, Why
from probes.schema.explanation import Swaps
from probes.schema.findings import Finding
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.repair import RepairLevel
from probes.schema.requests import Explain, FindRepair, Run, SwapLevel
from probes.stepping.ending import why_ended
from probes.system.pace import SlowdownWatch

if TYPE_CHECKING:
    from probes.stepping.lockstep import Lockstep


def events(lockstep: Lockstep, header: RunHeader, until: Sequence[str] = ()) -> Iterator[Event]:
    """One run from its header to its pause, as the events that a screen would get."""
    head, pace = Playhead(), SlowdownWatch()
    yield head.start(header)
    head.go(Run(tuple(until)))
    while head.running:
        if lockstep.finished:
            yield head.stop(why_ended(lockstep))
            return
        begun = time.perf_counter()
        record = lockstep.step()
        seconds = time.perf_counter() - begun
        for event in head.take(record, seconds, last=lockstep.finished):
            # A command can't be continued, so the rest of a text is not scored.
            yield replace(event, more=0, left=lockstep.text_left) if isinstance(event, RunPaused) else event
        if changed := lockstep.take_news():
            yield Noticed("How the models compute", changed)
        if (slow := pace.add(seconds)) and header.dense.device == "cpu":
            yield Noticed("Steps have become slow", slow)


def explained_run(
    header: RunHeader,
    path: Sequence[StepRecord],
    steps: range,
    found: Iterable[Finding],
    notes: Sequence[str],
    *,
    repaired: RepairLevel | None = None,
    pieces: Mapping[SwapLevel, Swaps] | None = None,
) -> Iterator[Event]:
    """A run that was stepped to explain some of its steps, and what explains them, as the events that a screen would
    get. `repaired` is the level of a repair; `pieces` are exchanges below whole sublayers, by their level."""
    head = Playhead()
    yield head.start(header)
    for record in path:
        yield from head.take(record, request=0)
    yield head.stop(Why.ASKED)
    asked = FindRepair(steps[0], steps[-1], level=repaired) if repaired else Explain(steps[0], steps[-1])
    about = Subject(asked, head.run, head.branches.owner(steps[0]), steps, ())
    for finding in found:
        yield about.event(finding, notes)
    for level, swaps in (pieces or {}).items():
        yield replace(about.event(swaps, notes), level=level)


@contextmanager
def recorded(path: Path | None) -> Iterator[Sink]:
    """Records the events of a run in a new file; without a path it records nothing.

    The file is made before anything slow begins, and removed if no run began. Raises `BadInput` if it exists. Raises
    `Failure` if it can't be made or not all of it be written; the whole recording is then saved elsewhere.
    """
    if path is None:
        yield lambda _event: None
        return
    recorder = Recorder(tell_failure, path)
    recorder.prepare()
    try:
        yield recorder
    except BaseException:
        recorder.close()
        raise
    if unsaved := recorder.close():
        saved = recorder.rescue()
        hint = f"All of it is in {saved}." if saved else "Free some space, and run again with the same seed."
        raise Failure("Not recorded there", unsaved, hint)


def tell_notes(warnings: Iterable[str], notes: Iterable[str]) -> None:
    """Prints to standard error what a reader of the figures must know, warnings first."""
    for warning in warnings:
        sys.stderr.write(f"Warning: {warning}\n")
    for note in notes:
        sys.stderr.write(f"{note}\n")


def tell_failure(event: Event) -> None:
    """Prints a failure to standard error as soon as it happens, and ignores other events."""
    if isinstance(event, Failed):
        sys.stderr.write(f"{event.title}: {event.message} {event.hint}\n")


def tell_notice(event: Event) -> None:
    """Prints a notice to standard error as soon as it comes, and ignores other events."""
    if isinstance(event, Noticed):
        sys.stderr.write(f"{event.message}\n")
