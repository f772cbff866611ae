"""Records a run as it happens: every event is written to the disk first, and then shown."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from explorer.sources.source import Sink, Source
from explorer.sources.subjects import Place, place_of
from probes.recording import RecordingWriter, recordings_folder
from probes.recording.copy import Copy
from probes.recording.folder import beside, new_path
from probes.recording.lines import encode
from probes.recording.writer import Spoiled
from probes.schema.errors import BadInput, FailureKind, PhierError
from probes.schema.events import Event, Explained, Failed, RunStarted
from probes.schema.findings import Finding
from probes.schema.foreign_text import visible
from probes.schema.requests import Request

RETRY_AFTER = 1.0
"""Seconds between two attempts to write what could not be written."""


class Recorder:
    """A sink that records events and passes them on to another sink.

    The file is made when the first run starts, in the folder of recordings or at `path`. If a write fails (the disk is
    full or unplugged, or writing is not allowed), the failure is reported once. Unsaved lines stay in memory, and every
    later event tries again.
    """

    def __init__(
        self,
        sink: Sink,
        path: Path | None = None,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `BadInput` if `path` exists already."""
        if path is not None and os.path.lexists(path):  # a name that is impossible is reported when the file is made
            raise BadInput(
                "File exists",
                f"{visible(str(path))} exists already, and a recording is never overwritten.",
                "Give another name.",
            )
        self._sink = sink
        self._wanted = path
        self._folder = folder
        self._clock = clock
        self._began = clock()
        self._lock = threading.RLock()  # the sink may ask for something at once, which is then recorded too
        self._writer: RecordingWriter | None = None
        self._pending: list[bytes] = []
        """Lines that are not on the disk yet."""
        self._copy = Copy()
        """All lines, for another file."""
        self._started: RunStarted | None = None
        self._findings: dict[Place, Finding] = {}
        """What was recorded of this run's findings."""
        self._refused: float | None = None
        """The time of the last failed write; None if the last write succeeded."""
        self._why = ""

    def prepare(self) -> None:
        """Makes the named file now, so that a failure is known before anything slow begins.

        Raises `Failure` if the file can't be made. `close` removes the file if nothing was recorded.
        """
        if self._wanted is not None and self._writer is None:
            self._writer = RecordingWriter(self._wanted)

    def rescue(self) -> Path | None:
        """Saves the whole recording in another folder: that of the recordings, or else the one for temporary files.

        Returns the new file, or None if neither can be written."""
        if self._started is None:
            return None
        for folder in (recordings_folder(), Path(tempfile.gettempdir())):
            path = new_path(folder, self._started.header, datetime.now())
            with suppress(PhierError, OSError):
                self.save(path)
                return path
        return None

    @property
    def path(self) -> Path | None:
        """The file, once it is made."""
        return self._writer.path if self._writer is not None else None

    def __call__(self, event: Event) -> None:
        """Keeps an event, then passes it on. Safe from any thread; the order stays."""
        with self._lock:
            refused = self._keep(event)
            self._sink(event)
            if refused is not None:
                self._sink(refused)

    def unsaved(self) -> str:
        """A sentence on the lines that the disk refused; "" if there are none.

        A line that is just being written is not one of them: `close` waits until it is on the disk."""
        count = len(self._pending)
        if not count or self._refused is None:
            return ""
        return f"{count:,} line{'s are' if count > 1 else ' is'} not recorded: {self._why}"

    def save(self, path: Path) -> None:
        """Writes the whole recording into another file, and continues it there.

        Raises `BadInput` if `path` exists, and `Failure` if it can't be written; nothing has changed then.
        """
        with self._lock:
            self._move(path)

    def close(self) -> str:
        """Ends the recording. Returns the sentence of `unsaved` after a last attempt to write."""
        with self._lock:
            try:
                if moved := self._flush():
                    self._sink(moved)
                if self._writer is not None:
                    self._writer.close()
                    if self._started is None:
                        self._writer.path.unlink(missing_ok=True)  # made by `prepare`, and never needed
            except PhierError as problem:
                self._refused, self._why = self._clock(), problem.message
            return self.unsaved()

    def _keep(self, event: Event) -> Failed | None:
        """Writes the event. Returns a failure to report if writing has just begun to fail."""
        if isinstance(event, RunStarted):
            self._started = self._started or event
            self._findings.clear()
        if isinstance(event, Explained) and event.final:
            if self._findings.get(place_of(event)) is event.found:
                return None  # it was asked for again
            self._findings[place_of(event)] = event.found
        line = encode(event, self._clock() - self._began)
        if not line or self._started is None:
            return None
        self._pending.append(line)
        self._copy.add(line)
        if self._refused is not None and self._clock() - self._refused < RETRY_AFTER:
            return None
        try:
            moved = self._flush()
        except PhierError as problem:
            first = self._refused is None
            self._refused, self._why = self._clock(), problem.message
            if not first:
                return None
            return Failed(problem.title, problem.message, problem.hint, FailureKind.NOT_RECORDED)
        self._refused = None
        return moved

    def _flush(self) -> Failed | None:
        """Writes the pending lines.

        If another program has spoiled the file, the whole recording is written into a new file beside it. The move is
        returned, to be reported."""
        if self._started is None:
            return None
        if self._writer is None:
            if not self._pending:
                return None
            folder = self._folder or recordings_folder()
            path = self._wanted or new_path(folder, self._started.header, datetime.now())
            self._writer = RecordingWriter(path)
        try:
            if self._pending:
                self._writer.append(b"".join(self._pending))
            else:
                self._writer.check()
        except Spoiled as problem:
            before = self._writer.path
            self._move(beside(before))
            moved = (
                f"{problem.happened} The whole recording is in {visible(str(self._writer.path))} and continues there."
            )
            return Failed("Recording moved", moved, kind=FailureKind.RECORDING_MOVED)
        self._pending.clear()
        return None

    def _move(self, path: Path) -> None:
        """Writes all lines into a new file, and continues there."""
        writer = RecordingWriter(path)
        try:
            writer.append(b"".join(self._copy.lines()))
        except BaseException:
            writer.close()
            path.unlink()
            raise
        before, self._writer = self._writer, writer
        self._pending.clear()
        self._refused = None
        if before is not None:
            with suppress(PhierError):  # all it held is in the new file
                before.close()


class RecordedSource:
    """Any source, whose events are recorded before they are shown."""

    def __init__(self, source: Source, path: Path | None = None, *, folder: Path | None = None) -> None:
        """`path` is the file to record into; without it one is made in the folder of recordings."""
        self.live = source.live
        self.recorder = Recorder(self._pass_on, path, folder=folder)
        self.recorder.prepare()
        self._source = source
        self._shown: Sink = lambda _event: None

    def _pass_on(self, event: Event) -> None:
        self._shown(event)

    def open(self, sink: Sink) -> None:
        self._shown = sink
        self._source.open(self.recorder)

    def ask(self, request: Request) -> None:
        self._source.ask(request)

    def close(self) -> None:
        self._source.close()
        self.recorder.close()

    def wait_idle(self, seconds: float) -> bool:
        return self._source.wait_idle(seconds)
