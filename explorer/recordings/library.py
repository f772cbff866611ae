"""Lists the recorded runs. Only the header and the last step of a run are read, so that a long list appears at once.

Only a file with more than one header, whose last step is of another run than its first line, or whose steps are far
from its end (because they were explained later) is gone through line by line.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from explorer.recordings.shipped import COMES_WITH, is_shipped
from explorer.sources.chosen import Chosen
from explorer.sources.kept_results import kind_of_file
from probes.recording.folder import SUFFIX
from probes.recording.lines import Line, Recorded, Unreadable, decode
from probes.recording.reader import LONGEST_LINE, read
from probes.recording.runs import unknown_header
from probes.recording.upgrade import OLDEST
from probes.schema.errors import BadInput
from probes.schema.events import RunStarted, StepMeasured
from probes.schema.foreign_text import visible
from probes.schema.header import RunHeader
from probes.system.fence import inside

_SHOWN = 200
"""Characters of a prompt."""
_TAIL = 256 * 1024
"""Bytes at the end of a file in which the last step is looked for first."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run of a recording in a list."""

    path: Path
    when: datetime
    """The start of the run if the header has it, else the time of the file. In local time."""
    header: RunHeader
    run: int
    """Its place among the runs of the file, from 1."""
    runs: int
    """The runs of the file."""
    steps: int
    """The number of the last step; 0 if there is none."""
    kl: float
    """ΣKL on the shared context, in nats."""
    kl_own: float
    """ΣKL, each model on its own context."""
    survival: float
    first_split: int | None
    problem: str = ""
    """A sentence on why it can't be opened; "" if it can."""
    other: str = ""
    """What the file holds instead of runs: "sweep, 12 of 60 cells", "results of items"; "" for a run."""

    @property
    def chosen(self) -> Chosen:
        """The run to open or compare."""
        return Chosen(self.path, self.run if self.runs > 1 else None)

    @property
    def models(self) -> str:
        """The dense model, and the pruned one if it was made elsewhere."""
        header = self.header
        return header.dense.name if self.setting or self.other else f"{header.dense.name} ⇄ {header.pruned.name}"

    @property
    def setting(self) -> str:
        return self.header.prune.setting if self.header.prune else ""

    @property
    def prompt(self) -> str:
        return self.header.settings.prompt

    def prompt_line(self, most: int = _SHOWN) -> str:
        """The prompt in one line, at most so many characters of it."""
        return visible(" ".join(self.prompt[: 4 * most].split()), most)


def recordings(*folders: Path) -> list[ListedRun]:
    """The runs of the recordings in these folders, newest first; a folder that is not there holds none."""
    files = [path for folder in folders if folder.is_dir() for path in folder.glob(f"*{SUFFIX}")]
    found = [one for path in files for one in runs_of(path)]
    return sorted(found, key=lambda one: (one.when.timestamp(), one.path.name, one.run), reverse=True)


def matching(found: Sequence[ListedRun], words: str) -> list[ListedRun]:
    """Those in which every word occurs: in the date, the models, the setting, the context, the prompt with the turns
    before it (a system prompt too), the begun answer, the text to score, or the name."""
    wanted = words.casefold().split()
    return [one for one in found if all(word in _searched(one) for word in wanted)]


def last_run_of(path: Path) -> ListedRun:
    """The last run of a file. Never raises: a file that can't be read is listed with its problem."""
    return runs_of(path)[-1]


def runs_of(path: Path) -> list[ListedRun]:
    """The runs of a file that have steps, in order; if none has, its last run.

    Never raises, and is never empty: a file that can't be read is listed with its problem.
    """
    modified = datetime.fromtimestamp(0)
    try:
        status = inside(path).stat()
        modified = datetime.fromtimestamp(status.st_mtime)
        if not path.is_file() or not status.st_size:
            return [_unreadable(path, modified, "It is empty." if path.is_file() else "It is not a file.")]
        if other := _other(path, modified):
            return [other]
        with path.open("rb") as file:
            found = _on_paths(path) if _holds(file, _BRANCH, _SELECTED) else _found(file, status.st_size)
    except OSError as problem:
        return [_unreadable(path, modified, f"It can't be read: {problem.strerror or problem}.")]
    except BadInput as problem:
        return [_unreadable(path, modified, problem.message)]
    shown = [place for place, one in enumerate(found) if one.last is not None] or [len(found) - 1]
    return [_listed(path, modified, found[place], place + 1, len(found)) for place in shown]


def _other(path: Path, modified: datetime) -> ListedRun | None:
    """A file that holds something else than runs. Raises `BadInput` if it can't be read."""
    kind = kind_of_file(path)
    if kind == "results":
        return _without_run(path, modified, dense="", other="results of items")
    if kind != "sweep":
        return None
    from probes.sweep.curves import results_by_key
    from probes.sweep.sweep_file import read_sweep

    sweep = read_sweep(path)
    found, cells = results_by_key(sweep), sweep.header.cells
    done = sum(one is not None and one.error is None for one in (found.get(str(cell.key)) for cell in cells))
    return _without_run(path, modified, dense=sweep.header.dense, other=f"sweep, {done:,} of {len(cells):,} cells")


@dataclass(slots=True)
class _Found:
    """One run as it is found in a file."""

    started: RunStarted | None
    last: StepMeasured | None = None


def _listed(path: Path, modified: datetime, found: _Found, place: int, runs: int) -> ListedRun:
    started, last = found.started, found.last
    sums = last.record.sum if last else None
    return ListedRun(
        path=path,
        when=_when(started, modified),
        header=started.header if started else unknown_header(),
        run=place,
        runs=runs,
        steps=last.record.step if last else 0,
        kl=sums.kl_shared if sums else 0.0,
        kl_own=sums.kl if sums else 0.0,
        survival=sums.survival if sums else 1.0,
        first_split=sums.first_split if sums else None,
    )


def _found(file: BinaryIO, size: int) -> list[_Found]:
    """The runs of a file. Raises `BadInput` if it has none."""
    file.seek(0)
    first, version = _started(file.readline(LONGEST_LINE))
    last = _last_step(file, size, version)
    # Files that were joined have another header after the first line, and their runs may have one number.
    if first is not None and last is not None and first.run == last.run and not _holds(file, _HEADER):
        return [_Found(first, last)]
    found = _looked_through(file)
    if all(one.started is None and one.last is None for one in found):
        raise BadInput("Not a recording", "It has no line of a recorded run.")
    return found


def _on_paths(path: Path) -> list[_Found]:
    """All runs of a file with forks, each with the last step of the path that was shown last."""
    found = []
    for run in read(path).runs:
        started = None if run.headless else RunStarted(run.number, run.header)
        last = StepMeasured(run.number, run.branches.current, run.path[-1]) if run.path else None
        found.append(_Found(started, last))
    return found


def _holds(file: BinaryIO, *kinds: bytes) -> bool:
    """Is there a line of one of these kinds after the first one?"""
    file.seek(0)
    file.readline(LONGEST_LINE)
    end = b""
    while part := file.read(2**20):
        if any(kind in end + part for kind in kinds):
            return True
        end = part[-max(map(len, kinds)) :]
    return False


def _last_step(file: BinaryIO, size: int, version: int) -> StepMeasured | None:
    """The last step that can be read near the end of the file."""
    start = max(0, size - _TAIL)
    file.seek(start)
    lines = file.read(size - start).split(b"\n")
    return next((step for raw in reversed(lines[1:] if start else lines) if (step := _step(raw, version))), None)


def _looked_through(file: BinaryIO) -> list[_Found]:
    """All runs of a file, as a reader would number them, with each one's header and last readable step."""
    file.seek(0)
    found: list[_Found] = []
    steps: list[deque[tuple[bytes, int]]] = []
    by_number: dict[int, int] = {}

    def begin(number: int, started: RunStarted | None) -> None:
        by_number[number] = len(found)
        found.append(_Found(started))
        steps.append(deque(maxlen=_TRIED))

    version = OLDEST
    while raw := file.readline(LONGEST_LINE):
        head = raw[:_HEAD]
        kind = _KIND.search(head)
        if kind and kind[1] == b"header":
            started, named = _started(raw)
            if started is not None:
                version = named
                begin(started.run, started)
        elif kind and kind[1] == b"step" and (run := _RUN.search(head)):
            if int(run[1]) not in by_number:
                begin(int(run[1]), None)
            steps[by_number[int(run[1])]].append((raw, version))
    for one, lines in zip(found, steps, strict=True):
        one.last = next((step for raw, version in reversed(lines) if (step := _step(raw, version))), None)
    return found


_HEADER, _BRANCH, _SELECTED = b'"kind":"header"', b'"kind":"branch"', b'"kind":"selected"'
"""As they are written in a line; inside a text their quotation marks have backslashes."""
_KIND = re.compile(rb'"kind"\s*:\s*"(header|step)"')
_RUN = re.compile(rb'"run"\s*:\s*(\d{1,15})\b')
_HEAD = 200
"""Bytes at the beginning of a line that hold its kind and its run."""
_TRIED = 4
"""Lines of a run, from its last one on, in which a readable step is looked for."""


def _started(raw: bytes) -> tuple[RunStarted | None, int]:
    """The header that a line holds, and the format of the lines after it."""
    event, version = _event(raw, OLDEST)
    return (event if isinstance(event, RunStarted) else None), version


def _step(raw: bytes, version: int) -> StepMeasured | None:
    event, _ = _event(raw, version)
    return event if isinstance(event, StepMeasured) else None


def _event(raw: bytes, version: int) -> tuple[Recorded | None, int]:
    try:
        found, version = decode(raw, version)
    except Unreadable:
        return None, version
    return (found.event if isinstance(found, Line) else None), version


def _when(started: RunStarted | None, modified: datetime) -> datetime:
    written = started.header.started if started else ""
    try:
        return datetime.fromisoformat(written).astimezone() if written else modified
    except (ValueError, OverflowError, OSError):
        return modified


def _unreadable(path: Path, modified: datetime, problem: str) -> ListedRun:
    return ListedRun(path, modified, unknown_header(), 1, 0, 0, 0.0, 0.0, 1.0, None, problem)


def _without_run(path: Path, modified: datetime, *, dense: str, other: str) -> ListedRun:
    header = unknown_header()
    header = replace(header, dense=replace(header.dense, name=dense), prune=None)
    return ListedRun(path, modified, header, 1, 1, 0, 0.0, 0.0, 1.0, None, other=other)


def _searched(one: ListedRun) -> str:
    header = one.header
    parts = (
        f"{one.when:%Y-%m-%d %H:%M}",
        header.dense.name,
        header.pruned.name,
        header.title,
        header.settings.follow.value,
        str(header.settings.sampling),
        one.prompt,
        *(turn.content for turn in header.settings.turns),
        header.settings.begun,
        header.settings.text,
        one.path.name,
        one.other,
        COMES_WITH if is_shipped(one.path) else "",
    )
    return "\n".join(parts).casefold()
