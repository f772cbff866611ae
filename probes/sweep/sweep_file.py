"""Keeps the results of a sweep in a JSON Lines file, so that a killed sweep goes on where it stopped.

A line is a header or a cell's result. The first line is a header; a later plan on the same file appends another one,
and the latest counts. Several sweeps may append to one file at once. The items of cells are in a folder beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from probes.recording.finding_lines import value_from
from probes.schema.as_json import json_of
from probes.schema.errors import BadInput, Failure
from probes.schema.flat_step import to_jsonable
from probes.schema.foreign_text import said, visible
from probes.schema.sweep import CellKey, CellResult, Sweep, SweepHeader
from probes.sweep.versions import sweep_versions
from probes.system.fence import inside

SWEEP_FORMAT = 1
"""The version of the format; a file of a later one is refused."""
_BEGINS = b'{"kind":"sweep"'
_TITLE = "Sweep"
_NAME_ONE = "Name a file that phier sweep has made."


def cells_folder(path: Path) -> Path:
    """The folder beside a sweep's file that holds what belongs to its cells."""
    return path.with_name(f"{path.name.removesuffix('.jsonl')}.cells")


def cell_file(path: Path, key: CellKey) -> Path:
    """The results file of a task's cell, or the recording of a prompt's, in the sweep's folder."""
    return cells_folder(path) / f"{key}.jsonl"


def read_sweep(path: Path | str) -> Sweep:
    """Reads a sweep's file, also while it is being written; an incomplete last line is left out.

    Raises `BadInput` if there is no such file, if it is no sweep's, or if a line of it can't be read.
    """
    path = Path(path)
    try:
        content = inside(path).read_bytes()
    except OSError as problem:
        reason = "it is a folder" if path.is_dir() else problem.strerror or str(problem)
        raise BadInput(_TITLE, f"{_shown(path)} can't be read: {reason}.", _NAME_ONE) from problem
    read = SweepReader(path)
    read.add(content)
    return read.sweep


class SweepFile:
    """A sweep's file that is appended to. Every call first reads what other programs have appended."""

    def __init__(self, path: Path, handle: int) -> None:
        """`sweep_file` opens it."""
        self.path, self._handle = path, handle
        self._read = SweepReader(path)

    @property
    def header(self) -> SweepHeader:
        """The latest header."""
        return self._read.sweep.header

    @property
    def results(self) -> Mapping[str, CellResult]:
        """The result of each key; of several, the last one without an error."""
        return self._read.results

    def refresh(self) -> None:
        """Reads what was appended since the last call. Raises `BadInput` for a line that can't be read."""
        with _locked(self._handle, self.path):
            self._catch_up()

    def check_same(self, versions: Mapping[str, str], threads: int) -> None:
        """Raises `BadInput` if the file has results of other versions of the program or its libraries, or of another
        number of threads than the one that a person asked for (0 if they did not)."""
        if self._read.header is not None:
            _check_same(self.path, self._read.header, versions, threads)

    def begin(self, header: SweepHeader, threads: int = 0) -> int:
        """Appends a header, unless the latest one asks for the same. Raises what `check_same` raises.

        Returns the number of threads that all cells are computed with: that of the file's first header.
        """
        with _locked(self._handle, self.path):
            self._catch_up()
            self.check_same(header.versions, threads)
            there = self._read.header
            if there is not None:
                header = replace(header, threads=there.threads or header.threads)
            if there is None or replace(there, started="") != replace(header, started=""):
                self._append(_line("sweep", {"format": SWEEP_FORMAT, **to_jsonable(header)}))
            return header.threads

    def add(self, result: CellResult) -> bool:
        """Appends a result; False if another program has appended one of its key without an error before."""
        with _locked(self._handle, self.path):
            self._catch_up()
            known = self._read.results.get(str(result.cell.key))
            if known is not None and known.error is None:
                return False
            self._append(_line("cell", to_jsonable(result)))
            return True

    def judge_again(self, result: CellResult) -> None:
        """Appends a result that counts instead of an earlier one: judged by another margin or level."""
        with _locked(self._handle, self.path):
            self._catch_up()
            self._append(_line("cell", to_jsonable(result)))

    def _catch_up(self) -> None:
        """Reads the new lines, and removes an incomplete one, which a killed program has left."""
        size = os.fstat(self._handle).st_size
        content = b""
        while len(content) < size - self._read.whole:
            part = os.pread(self._handle, 1 << 20, self._read.whole + len(content))
            if not part:
                break
            content += part
        if not self._read.whole and content and not content.startswith(_BEGINS[: len(content)]):
            raise BadInput(_TITLE, f"{_shown(self.path)} is there, and is no sweep's file.", "Name another one.")
        self._read.add(content)
        if self._read.whole < size:
            os.ftruncate(self._handle, self._read.whole)

    def _append(self, line: bytes) -> None:
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as problem:
            os.ftruncate(self._handle, self._read.whole)
            raise cant_write(self.path, problem) from problem
        self._read.add(line)


@dataclass(slots=True)
class SweepReader:
    """What has been read of a file so far."""

    path: Path
    header: SweepHeader | None = None
    every: list[CellResult] = field(default_factory=list)
    results: dict[str, CellResult] = field(default_factory=dict)
    whole: int = 0
    """Bytes that are whole lines."""
    lines: int = 0

    @property
    def sweep(self) -> Sweep:
        """Everything so far. Raises `BadInput` before the first header."""
        if self.header is None:
            raise BadInput(_TITLE, f"{_shown(self.path)} is no sweep's file.", _NAME_ONE)
        return Sweep(self.header, tuple(self.every))

    def add(self, content: bytes) -> None:
        """Reads the bytes after those that were read; an incomplete last line is left for the next call. Raises
        `BadInput` for a line that can't be read."""
        whole = content.rfind(b"\n") + 1
        for line in content[:whole].split(b"\n")[:-1]:
            self.lines += 1
            self._take(line)
        self.whole += whole

    def _take(self, line: bytes) -> None:
        try:
            plain = msgspec.json.decode(line, type=dict[str, Any])
            kind, odd = plain.pop("kind", None), plain.pop("nonfinite", {})
            if kind == "sweep":
                self._check_format(plain.get("format"))
                self.header = value_from(SweepHeader, plain, odd)
            elif self.header is None:
                raise ValueError("its first line is not that of one")
            elif kind == "cell":
                result = value_from(CellResult, plain, odd)
                self.every.append(result)
                key = str(result.cell.key)
                if result.error is None or key not in self.results or self.results[key].error is not None:
                    self.results[key] = result
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            if self.header is None:
                what = f"{_shown(self.path)} is no sweep's file: {said(problem, 200)}"
                raise BadInput(_TITLE, what, _NAME_ONE) from None
            what = f"Line {self.lines} of {_shown(self.path)} can't be read: {said(problem, 200)}"
            raise BadInput(_TITLE, what, "Delete that line: its cell is then computed again.") from None

    def _check_format(self, there: object) -> None:
        if not isinstance(there, int) or there > SWEEP_FORMAT:
            newer = f"{_shown(self.path)} has format {there}, and this version reads up to {SWEEP_FORMAT}."
            raise BadInput("Newer sweep", newer, "Use a newer version of phier.")


@contextmanager
def sweep_file(path: Path) -> Iterator[SweepFile]:
    """Opens a sweep's file to append to it, and makes it and its folder if they are not there.

    Raises `BadInput` if it is another file, and `Failure` if it can't be written.
    """
    try:
        cells_folder(path).mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as problem:
        raise cant_write(path, problem) from problem
    try:
        found = SweepFile(path, handle)
        found.refresh()
        yield found
    finally:
        os.close(handle)


@contextmanager
def claimed(path: Path, key: CellKey) -> Iterator[bool]:
    """Claims a cell: True if no other program computes it now. The system releases the claim when the program ends."""
    import fcntl

    lock = cells_folder(path) / f"{key}.lock"
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another program may have removed the file between the two calls; then this lock locks nothing.
        mine = os.path.samestat(lock.stat(), os.fstat(handle))
    except (BlockingIOError, FileNotFoundError):
        mine = False
    try:
        yield mine
    finally:
        if mine:
            lock.unlink(missing_ok=True)
        os.close(handle)


def claimed_keys(path: Path) -> frozenset[str]:
    """The keys of the cells that programs compute now, on this machine or on another one that shares the folder.

    A shared lock is tried for a moment, and only on claims that are there: if a program claims that very cell
    meanwhile, it takes it for one that is being computed, and comes back to it.
    """
    try:
        with os.scandir(cells_folder(path)) as files:
            claims = [file.path for file in files if file.name.endswith(".lock")]
    except OSError:
        return frozenset()
    return frozenset(Path(claim).stem for claim in claims if _is_held(claim))


def _is_held(claim: str) -> bool:
    import fcntl

    try:
        handle = os.open(claim, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # its cell has just been finished
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as problem:
        return isinstance(problem, BlockingIOError)
    finally:
        os.close(handle)
    return False


@contextmanager
def _locked(handle: int, path: Path) -> Iterator[None]:
    """Holds the file's lock, for the moment in which lines are read and one is appended."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as problem:
        raise cant_write(path, problem) from problem
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def check_sweep_file(path: Path, threads: int) -> int:
    """Checks before anything is loaded whether a sweep of this program can go on in the file, if it is there: raises
    what `SweepFile.check_same` and `read_sweep` raise.

    Returns the number of threads that the file states; 0 if it states none or is not there.
    """
    if not path.exists() or not (path.is_dir() or path.stat().st_size):
        return 0
    there = read_sweep(path).header
    _check_same(path, there, sweep_versions(), threads)
    return there.threads


def _check_same(path: Path, there: SweepHeader, versions: Mapping[str, str], threads: int) -> None:
    if threads and there.threads and threads != there.threads:
        raise BadInput(
            "Other threads",
            f"{_shown(path)} has results computed with {there.threads} thread{'s' * (there.threads > 1)}, "
            f"not {threads}. The last digits of figures depend on it.",
            "Leave out --threads, or name another file with --out.",
        )
    for name in dict.fromkeys((*there.versions, *versions)):
        before, after = there.versions.get(name, "none"), versions.get(name, "none")
        if before != after:
            raise BadInput(
                "Other versions",
                f"{_shown(path)} has results of {name} {visible(before, 40)}, and this is {name} {visible(after, 40)}.",
                "Results of different versions are not mixed. Name another file with --out.",
            )


def _line(kind: str, plain: dict[str, Any]) -> bytes:
    return json_of({"kind": kind, **plain}) + b"\n"


def _shown(path: Path) -> str:
    return visible(str(path))


def cant_write(path: Path, problem: OSError) -> Failure:
    """The error if a file of a sweep can't be written."""
    reason = "it is a folder" if isinstance(problem, IsADirectoryError) else problem.strerror or str(problem)
    return Failure("Can't write", f"{_shown(path)} can't be written: {reason}.", "Name another file with --out.")
