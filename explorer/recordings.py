"""The recordings in a folder, each told from its first line and its last step, so that a long list appears at once.

Only a file whose last step is of a later run than its first line is looked through for that run's header.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from probes.errors import BadInput
from probes.events import RunStarted, StepMeasured
from probes.header import RunHeader
from probes.session.folder import SUFFIX
from probes.session.lines import FORMAT, Line, Unreadable, decode
from probes.session.reader import LONGEST_LINE
from probes.session.runs import unknown_header

_TAIL = 64 * 1024
"""Bytes at the end that are looked at first for the last step."""
_LONGEST_TAIL = 4 * 2**20
"""Bytes at the end beyond which it is not looked for."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One recording in a list."""

    path: Path
    when: datetime
    """When its run began, as far as the header tells; else when the file was last written. In local time."""
    header: RunHeader
    """Of the last run in it."""
    runs: int
    steps: int
    """The number of the last step; 0 where there is none."""
    kl: float
    """ΣKL on the shared context, in nats."""
    kl_total: float
    """ΣKL, each model on its own context."""
    survival: float
    first_split: int | None
    problem: str = ""
    """Why nothing else of it is known, in a sentence; "" for one that can be opened."""

    @property
    def models(self) -> str:
        """The dense model, and the pruned one where it was made elsewhere."""
        header = self.header
        return header.dense.name if self.setting else f"{header.dense.name} ⇄ {header.pruned.name}"

    @property
    def setting(self) -> str:
        return self.header.prune.setting if self.header.prune else ""

    @property
    def prompt(self) -> str:
        return self.header.settings.prompt


def recordings(*folders: Path) -> list[Listed]:
    """The recordings in these folders, newest first; a folder that is not there holds none."""
    found = [listed(path) for folder in folders if folder.is_dir() for path in folder.glob(f"*{SUFFIX}")]
    return sorted(found, key=lambda one: (one.when.timestamp(), one.path.name), reverse=True)


def matching(found: Sequence[Listed], words: str) -> list[Listed]:
    """Those in which every word occurs: in the date, the models, the setting, the context, the prompt or the name."""
    wanted = words.casefold().split()
    return [one for one in found if all(word in _searched(one) for word in wanted)]


def listed(path: Path) -> Listed:
    """What a list shows of one file. Never raises: a file that can't be read is listed with its problem."""
    modified = datetime.fromtimestamp(0)
    try:
        status = path.stat()
        modified = datetime.fromtimestamp(status.st_mtime)
        if not path.is_file() or not status.st_size:
            return _unreadable(path, modified, "It is empty." if path.is_file() else "It is not a file.")
        with path.open("rb") as file:
            return _listed(path, modified, file, status.st_size)
    except OSError as problem:
        return _unreadable(path, modified, f"It can't be read: {problem.strerror or problem}.")
    except BadInput as problem:
        return _unreadable(path, modified, problem.message)


def _listed(path: Path, modified: datetime, file: BinaryIO, size: int) -> Listed:
    first = _started(file.readline(LONGEST_LINE))
    last = _last_step(file, size)
    if first is None and last is None:
        raise BadInput("Not a recording", "It has no line of a recorded session.")
    started = first if last is None or (first and first.run == last.run) else _start_of(file, last.run)
    sums = last.record.sum if last else None
    return Listed(
        path=path,
        when=_when(started, modified),
        header=started.header if started else unknown_header(),
        runs=last.run - first.run + 1 if first and last else 1,
        steps=last.record.step if last else 0,
        kl=sums.kl_local if sums else 0.0,
        kl_total=sums.kl if sums else 0.0,
        survival=sums.survival if sums else 1.0,
        first_split=sums.first_split if sums else None,
    )


def _last_step(file: BinaryIO, size: int) -> StepMeasured | None:
    """The last step that can be read, looked for ever further from the end."""
    length = _TAIL
    while True:
        start = max(0, size - length)
        file.seek(start)
        lines = file.read(size - start).split(b"\n")
        for raw in reversed(lines[1:] if start else lines):
            line = _line(raw)
            if line and isinstance(line.event, StepMeasured):
                return line.event
        if not start or length >= _LONGEST_TAIL:
            return None
        length *= 4


def _start_of(file: BinaryIO, run: int) -> RunStarted | None:
    """The last header of a run, looked for through the whole file."""
    file.seek(0)
    found = None
    while raw := file.readline(LONGEST_LINE):
        if b'"header"' in raw[:200] and (started := _started(raw)) and started.run == run:
            found = started
    return found


def _started(raw: bytes) -> RunStarted | None:
    line = _line(raw)
    return line.event if line and isinstance(line.event, RunStarted) else None


def _line(raw: bytes) -> Line | None:
    try:
        found, _ = decode(raw, FORMAT)
    except Unreadable:
        return None
    return found if isinstance(found, Line) else None


def _when(started: RunStarted | None, modified: datetime) -> datetime:
    written = started.header.started if started else ""
    try:
        return datetime.fromisoformat(written).astimezone() if written else modified
    except (ValueError, OverflowError, OSError):
        return modified


def _unreadable(path: Path, modified: datetime, problem: str) -> Listed:
    return Listed(path, modified, unknown_header(), 0, 0, 0.0, 0.0, 1.0, None, problem)


def _searched(one: Listed) -> str:
    header = one.header
    parts = (
        f"{one.when:%Y-%m-%d %H:%M}",
        header.dense.name,
        header.pruned.name,
        header.title,
        header.settings.follow.value,
        str(header.settings.sampling),
        one.prompt,
        one.path.name,
    )
    return "\n".join(parts).casefold()
