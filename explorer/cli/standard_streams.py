"""Standard output and error that accept every character, and that turn a full disk into a sentence."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

from probes.schema.errors import Failure
from probes.system.ranks import rank


class OutputLost(Failure):
    """Standard output can't be written: its disk is full, or its device is gone."""

    def __init__(self, problem: OSError) -> None:
        super().__init__(
            "Output not written",
            f"Standard output could not be written ({problem.strerror}).",
            "Free some space, or send it somewhere else.",
        )


class ReaderGone(Exception):
    """The reader of standard output has closed it. Libraries would turn a BrokenPipeError into an exit code of 1."""


@contextmanager
def safe_streams() -> Iterator[None]:
    """Runs a command with streams that replace characters their encoding lacks, and that turn a full disk into a
    sentence.

    The rest of the output is written here, while a failure can still be reported. If the reader closes the stream
    (`| head`), the command ends without a message, with exit code 0.
    """
    _open_closed()
    sys.stdout, sys.stderr = _safe(sys.stdout, _Output, "replace"), _safe(sys.stderr, _Errors, "backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputLost as problem:
        sys.stderr.write(f"{problem}\n")
        raise SystemExit(problem.exit_code) from None
    except ReaderGone:
        raise SystemExit(0) from None


@contextmanager
def one_voice() -> Iterator[None]:
    """Drops what all but the first process of several would print. A failure is still reported: it may be its own."""
    if rank() == 0:
        yield
        return
    spoken = sys.stderr
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    except Failure as problem:
        spoken.write(f"Process {rank()}: {problem}\n")
        raise SystemExit(problem.exit_code) from None
    except Exception:  # noqa: BLE001 - the first process reports what all of them meet
        raise SystemExit(1) from None


class _Output(io.FileIO):
    """Raises the first failure to write, and drops everything after it, so that nothing fails a second time."""

    _lost = False

    def write(self, data: object) -> int:
        if self._lost:
            return memoryview(data).nbytes  # type: ignore[arg-type]  # io hands over bytes or a view of them
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BlockingIOError:
            raise
        except OSError as problem:
            self._lost = True
            if isinstance(problem, BrokenPipeError):
                raise ReaderGone from problem
            raise OutputLost(problem) from problem


class _Errors(io.FileIO):
    """Drops text that can't be written: there is nowhere else to report it, and the exit code still shows the error."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def _safe(stream: TextIO, kind: type[io.FileIO], errors: str) -> TextIO:
    """The stream with safe writes. One that is no file stays as it is; of a terminal only the characters change."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors=errors)
    try:
        handle = stream.fileno()
    except OSError:
        return stream
    if stream.isatty():
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(handle, "w", closefd=False)),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _open_closed() -> None:
    """Opens the null device in place of a closed standard stream, so that no later file takes its number."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the program
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
