"""`phier run`: the same steps without the screen, recorded as they happen."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.sources.ending import why_ended
from explorer.sources.recorder import Recorder
from explorer.sources.source import Sink
from probes.schema.errors import Failure
from probes.schema.events import Event, Failed, Noticed, RunPaused, RunStarted, StepMeasured, Why
from probes.schema.header import RunHeader
from probes.schema.until import Until, first_met
from probes.system.pace import SlowdownWatch

if TYPE_CHECKING:
    from probes.stepping.lockstep import Lockstep


def events(lockstep: Lockstep, header: RunHeader, conditions: Sequence[Until]) -> Iterator[Event]:
    """One run from its header to the sentence on why it stopped, as the events a screen would be told."""
    yield RunStarted(1, header)
    why, reason, pace = Why.STEPS, "", SlowdownWatch()
    begun = time.perf_counter()
    for record in lockstep:
        seconds = time.perf_counter() - begun
        yield StepMeasured(1, 0, record, seconds)
        if (slow := pace.add(seconds)) and header.dense.device == "cpu":
            yield Noticed("Steps have become slow", slow)
        if reason := first_met(conditions, lockstep.path):
            why = Why.UNTIL
            break
        begun = time.perf_counter()
    if not reason:
        left = f", and {lockstep.text_left:,} tokens of the text are left" if lockstep.text_left else ""
        done = f"{len(lockstep.path)} steps are done{left}."
        why, reason = why_ended(lockstep) if lockstep.finished else (Why.STEPS, done)
    yield RunPaused(1, why, reason)


@contextmanager
def recorded(path: Path | None) -> Iterator[Sink]:
    """Takes the events of a run into a new file; without one, nothing happens to them.

    The file is made before anything slow begins, and taken away again if no run began. Raises `BadInput` if it exists
    and `Failure` if it can't be made, or if it took less than everything; all of it is then saved elsewhere.
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
        hint = f"All of it is in {saved}." if saved else "Make room, and run again with the same seed."
        raise Failure("Not recorded there", unsaved, hint)


def tell_notes(warnings: Iterable[str], notes: Iterable[str]) -> None:
    """Prints to standard error what a reader of the figures must know, warnings first."""
    for warning in warnings:
        sys.stderr.write(f"Warning: {warning}\n")
    for note in notes:
        sys.stderr.write(f"{note}\n")


def tell_failure(event: Event) -> None:
    """Prints a failure to standard error as soon as it happens; other events say nothing."""
    if isinstance(event, Failed):
        sys.stderr.write(f"{event.title}: {event.message} {event.hint}\n")


def tell_notice(event: Event) -> None:
    """Prints a notice to standard error as soon as it comes; other events say nothing."""
    if isinstance(event, Noticed):
        sys.stderr.write(f"{event.message}\n")
