"""Reads recordings, also damaged ones: readable lines are returned, unreadable ones counted and reported."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from probes.recording.lines import BYTE_ORDER_MARK, Line, Unknown, Unreadable, decode
from probes.recording.runs import RecordedRun, unknown_header
from probes.recording.upgrade import FORMAT, OLDEST
from probes.schema.counting import number_of
from probes.schema.errors import BadInput, Failure
from probes.schema.events import Failed, RunStarted
from probes.schema.foreign_text import visible
from probes.system.collector import collector_at_rest
from probes.system.fence import inside

LONGEST_LINE = 16 * 2**20
"""In bytes; a longer line is skipped without being held in memory. A step takes about 5,000."""
NONSENSE = 64 * 2**20
"""In bytes; after so many without a readable line, or within one line, the rest of the file is not read."""

_OPENING = b'{"kind":'
"""The beginning of every written line."""
NAMED = 8
"""How many unreadable lines are reported by number."""
_BUFFER = 2**20
"""Bytes that are read from the disk at once."""
WATCHED_EVERY = 500
"""Lines between two calls of `watch`."""

_OTHER_FILES = {
    b'{"kind":"results",': "the results of items (phier verdict)",
    b'{"kind":"sweep",': "a sweep (phier sweep)",
}
"""What other files of this program hold, by how their first line begins."""


@dataclass(slots=True)
class Recording:
    """The content of a file, and the lines that could not be read."""

    path: Path
    runs: list[RecordedRun] = field(default_factory=list)
    """The runs in order, at least one: each prompt, context or prune setting begins a new one."""
    format: int = 0
    """The newest format of its headers; 0 if no header can be read."""
    damaged: int = 0
    """Lines that could not be read, or that do not follow the lines before them because one is lost."""
    faults: list[tuple[int, str]] = field(default_factory=list)
    """The first such lines: the number of each, from 1, and what is wrong with it."""
    cut: bool = False
    """True if the last line is incomplete: the program was interrupted while writing it."""
    headless: int = 0
    """Runs whose header could not be read."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Lines of kinds that this version does not know, by kind."""
    chosen: int | None = None
    """The place of the chosen run, from 1; None chooses the last one."""

    @property
    def run(self) -> RecordedRun:
        """The chosen run, or else the last one."""
        return self.last if self.chosen is None else self.runs[self.chosen - 1]

    def choose(self, place: int) -> None:
        """Chooses the run at that place, from 1. Raises `BadInput` if there is none."""
        if not 1 <= place <= len(self.runs):
            name = _name(self.path)
            raise BadInput(
                "No such run",
                f"{name} holds {number_of(len(self.runs), 'run')}; there is no run {place}.",
                f"`phier recordings {name}` lists them.",
            )
        self.chosen = place

    @property
    def last(self) -> RecordedRun:
        """The last run with steps, or the last one if none has steps."""
        return next((run for run in reversed(self.runs) if run.steps), self.runs[-1])

    @property
    def notes(self) -> list[str]:
        """Sentences about the file's condition; empty for an undamaged file."""
        found = []
        if self.format > FORMAT:
            found.append(
                f"The recording is in format {self.format}, of a newer version of phier. This version reads format "
                f"{FORMAT} and shows what it knows."
            )
        if self.headless:
            found.append("The header can't be read, so the models are not known.")
        if self.damaged:
            found.append(self._passed_over())
        if missing := [step for run in self.runs for step in run.missing]:
            found.append(f"{_steps(missing)} missing.")
        if self.cut:
            found.append("The last line is incomplete: the recording was cut off there.")
        if self.unknown:
            kinds = ", ".join(sorted(self.unknown)[:5])
            found.append(f"{_lines(self.unknown.total())} of a kind that this version does not know ({kinds}).")
        return found

    def _passed_over(self) -> str:
        """A sentence on the unreadable lines, with the fault of the first."""
        listed = ", ".join(f"{number:,}" for number, _ in self.faults[:NAMED])
        number, reason = self.faults[0]
        if self.damaged == 1:
            return f"Line {listed} can't be read and is skipped: {reason}."
        more = ", …" if self.damaged > NAMED else ""
        return f"{_lines(self.damaged)} can't be read and are skipped ({listed}{more}). Line {number:,}: {reason}."


def read(path: Path, watch: Callable[[int], None] | None = None, *, tables: bool = True) -> Recording:
    """Reads a whole recording, also a damaged one.

    `watch` is called from time to time with the number of bytes read, and may raise `Cancelled`. Without `tables`, the
    steps have no tables of next tokens, which takes half the time and memory.

    Raises `BadInput` if there is no such file, if it can't be opened, or if nothing in it is a recording's, and
    `Failure` if its disk can't be read. A damaged line is skipped; a line lost between two steps leaves an empty step.
    Memory grows with the readable steps, never with a single line.
    """
    recording = Recording(path)
    reading = _Reading(recording, tables)
    with _opened(path) as file, collector_at_rest():
        nonsense, first, alone = 0, b"", True
        for count, raw in enumerate(_lines_of(file), 1):
            first, alone = (raw or b"", True) if count == 1 else (first, False)
            reading.take(raw)
            if watch is not None and count % WATCHED_EVERY == 0:
                watch(file.tell())
            if not recording.runs:
                nonsense += len(raw or b"") or LONGEST_LINE
                if nonsense > NONSENSE:
                    break
    if not recording.runs:
        what, hint = "has no line of a recorded run", "Choose another file."
        if recording.cut and alone and _begins(first):
            what = "was cut off within its first line"
        elif holds := next((holds for begin, holds in _OTHER_FILES.items() if first.startswith(begin)), ""):
            name = _name(path)
            what, hint = (
                f"holds {holds}, not a recorded run",
                f"`phier-tui {name}` shows it; `phier export` exports it.",
            )
        raise BadInput("Not a recording", f"{_name(path)} {what}.", hint)
    return recording


class _Reading:
    """Sorts lines into runs."""

    def __init__(self, recording: Recording, tables: bool) -> None:
        self._recording = recording
        self._tables = tables
        self._version = OLDEST
        self._line = 0
        """The number of the present line, from 1."""
        self._by_number: dict[int, RecordedRun] = {}
        self._lost = 0
        """Lines lost since the last readable header."""

    def take(self, raw: bytes | None) -> None:
        """Takes a raw line; None is a line that was too long."""
        recording = self._recording
        self._line += 1
        if raw is not None and not raw.strip():
            return
        try:
            if raw is None:
                raise Unreadable(f"it is longer than {LONGEST_LINE:,} bytes")
            found, self._version = decode(raw, self._version, tables=self._tables)
        except Unreadable as problem:
            if raw is not None and not raw.endswith(b"\n"):
                recording.cut = True
            else:
                self._lose(str(problem))
            return
        recording.format = max(recording.format, self._version)
        if isinstance(found, Unknown):
            if recording.runs:
                recording.unknown[visible(found.kind, 40)] += 1
        elif isinstance(found.event, RunStarted):
            self._begin(found.event, found.at)
        elif reason := self._run_of(found).add(found):
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        self._recording.damaged += 1
        if len(self._recording.faults) < NAMED:
            self._recording.faults.append((self._line, reason))
        self._lost += 1
        if self._recording.runs:
            self._recording.runs[-1].lost += 1

    def _begin(self, event: RunStarted, at: float) -> RecordedRun:
        run = RecordedRun(event.run, event.header, [Line(at, event)], place=len(self._recording.runs) + 1)
        self._recording.runs.append(run)
        self._by_number[event.run] = run
        return run

    def _run_of(self, line: Line) -> RecordedRun:
        event = line.event
        if isinstance(event, Failed):
            number = self._recording.runs[-1].number if self._recording.runs else 0
        else:
            number = event.run
        if number not in self._by_number:
            self._recording.headless += 1
            self._begin(RunStarted(number, unknown_header()), line.at).lost = self._lost
        return self._by_number[number]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Opens the file after checking that it is a plain file: opening a pipe could wait forever."""
    path = inside(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadInput("Not a file", f"{_name(path)} is not a file that can be read.", "Choose a recording.")
        file = path.open("rb", buffering=_BUFFER)
    except FileNotFoundError as problem:
        raise BadInput("No such file", f"There is no {_name(path)}.", "Check its name.") from problem
    except OSError as problem:
        raise BadInput(
            "Can't open", f"{_name(path)} can't be opened: {problem.strerror}.", "Check its permissions."
        ) from problem
    with file:
        try:
            yield file
        except OSError as problem:
            raise Failure(
                "Can't read", f"{_name(path)} can't be read: {problem.strerror or problem}.", "Check its disk."
            ) from problem


def _name(path: Path) -> str:
    return visible(str(path))


def _lines_of(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines; None for a line that is too long."""
    while raw := file.readline(LONGEST_LINE):
        if len(raw) < LONGEST_LINE or raw.endswith(b"\n"):
            yield raw
            continue
        skipped = len(raw)
        while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
            skipped += len(rest)
            if skipped > NONSENSE:
                yield None
                return
        yield None


def _begins(raw: bytes) -> bool:
    """Is this the beginning of a recording, or a part of it?"""
    start = raw.removeprefix(BYTE_ORDER_MARK).lstrip()[: len(_OPENING)]
    return bool(start) and _OPENING.startswith(start)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


def _steps(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"Step {numbers[0]} is"
    shown = ", ".join(map(str, numbers[:8]))
    return f"Steps {shown}{', …' if len(numbers) > 8 else ''} are"
