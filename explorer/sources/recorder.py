"""Records a recording while it happens: every event goes to the disk first, and then to whoever shows it."""

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
from probes.recording import RecordingWriter, recordings_folder
from probes.recording.copy import Copy
from probes.recording.folder import beside, new_path
from probes.recording.lines import encode
from probes.recording.writer import Spoiled
from probes.schema.errors import BadInput, FailureKind, PhierError
from probes.schema.events import Event, Failed, RunStarted
from probes.schema.foreign_text import visible
from probes.schema.requests import Request

RETRY_AFTER = 1.0
"""Seconds between two attempts to write what could not be written."""


class Recorder:
    """A sink before another sink.

    The file is made when the first run starts, in the folder of recordings or at `path`. Where the disk refuses a
    line (full, unplugged, not allowed), that is told once, nothing is lost while the program runs, and every later
    event tries again.
    """

    def __init__(
        self,
        sink: Sink,
        path: Path | None = None,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `BadInput` where `path` exists already."""
        if path is not None and os.path.lexists(path):  # of a name that no disk takes, its making says what is wrong
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
        self._refused: float | None = None
        """When the disk last refused a line; None while it takes them."""
        self._why = ""

    def prepare(self) -> None:
        """Makes the named file now, so that a place that takes none is known before anything slow begins.

        Raises `Failure` where it can't be made. A file that nothing comes into is taken away again by `close`.
        """
        if self._wanted is not None and self._writer is None:
            self._writer = RecordingWriter(self._wanted)

    def rescue(self) -> Path | None:
        """Writes all that the disk has refused to where there is room: the folder of recordings, or the one for
        temporary files. The new file; None where neither takes it."""
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
        """A sentence on what is in memory only, or "" where everything is on the disk."""
        count = len(self._pending)
        if not count:
            return ""
        return f"{count:,} line{'s are' if count > 1 else ' is'} not recorded: {self._why}"

    def save(self, path: Path) -> None:
        """Writes the whole recording to another place and goes on recording there.

        Raises `BadInput` where `path` exists, `Failure` where that place refuses it too; nothing has changed then.
        """
        with self._lock:
            self._move(path)

    def close(self) -> str:
        """Ends the recording; returns what `unsaved` says after a last attempt."""
        with self._lock:
            try:
                if moved := self._flush():
                    self._sink(moved)
                if self._writer is not None:
                    self._writer.close()
                    if self._started is None:
                        self._writer.path.unlink(missing_ok=True)  # made by `prepare`, and never needed
            except PhierError as problem:
                self._why = problem.message
            return self.unsaved()

    def _keep(self, event: Event) -> Failed | None:
        """Writes the event; the failure to be told, where the disk has just begun to refuse."""
        if isinstance(event, RunStarted) and self._started is None:
            self._started = event
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
        """Writes what is pending. Where another program has spoiled the file, all of it goes into a new one beside it,
        and that is what is returned, to be told."""
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
            moved = f"{problem.happened} All of it is in {visible(str(self._writer.path))}, which is written on."
            return Failed("Recording moved", moved, kind=FailureKind.RECORDING_MOVED)
        self._pending.clear()
        return None

    def _move(self, path: Path) -> None:
        """Writes all lines into a new file, and goes on there."""
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
    """Any source, with everything it tells recorded before it is shown."""

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
