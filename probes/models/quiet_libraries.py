"""Keeps transformers and the hub off the terminal, turns their progress bars into events, and makes their messages,
which may quote any file, safe to show."""

from __future__ import annotations

import io
import logging as standard_logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm.std import tqdm
from transformers.utils import logging

from probes.schema.foreign_text import visible
from probes.system.progress import Work

_ONE_AT_A_TIME = threading.RLock()
"""The process has only one hook for bars."""


def silence_libraries() -> None:
    """Silences reports and bars for the whole process; warnings stay if TRANSFORMERS_VERBOSITY asks for them.

    A bar's default lock starts a helper process that inherits the standard streams. That fails if an interface has
    replaced them, so bars get a plain lock first.
    """
    tqdm.set_lock(threading.RLock())
    logging.disable_progress_bar()  # also the hub's bars
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()
    for library in ("transformers", "huggingface_hub"):
        for handler in standard_logging.getLogger(library).handlers:
            if not isinstance(handler.formatter, _Marking):
                handler.setFormatter(_Marking(handler.formatter))
    if standard_logging.lastResort is not None:  # for libraries that set up no logging
        standard_logging.lastResort.setFormatter(_Marking(None))


@contextmanager
def marked_output() -> Iterator[None]:
    """Sends the output and warnings of libraries in its block to standard error, with control characters shown as
    marks.

    Standard output is for the figures only. Standard error itself is not replaced, because progress is drawn there.
    """
    stdout, warn = sys.stdout, warnings.showwarning
    ours = _Marked()

    def shown(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001 - as in the original
        line: str | None = None,
    ) -> None:
        ours.write(warnings.formatwarning(message, category, filename, lineno, line))

    sys.stdout, warnings.showwarning = ours, shown
    try:
        yield
    finally:
        # An interface that has ended meanwhile has already restored its own.
        if sys.stdout is ours:
            sys.stdout = stdout
        if warnings.showwarning is shown:
            warnings.showwarning = warn


@contextmanager
def reporting(work: Work, task: str) -> Iterator[None]:
    """Reports transformers' progress bars to `work` in its block; cancelled work ends it."""

    def counted(factory: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Counted:
        return _Counted(factory(*args, **kwargs), args[0] if args else kwargs.get("iterable", ()), work, task)

    silence_libraries()
    with _ONE_AT_A_TIME:
        before = logging.set_tqdm_hook(counted)
        try:
            yield
        finally:
            logging.set_tqdm_hook(before)


class _Marking(standard_logging.Formatter):
    """Formats as another formatter does, with control characters shown as marks."""

    def __init__(self, before: standard_logging.Formatter | None) -> None:
        super().__init__()
        self._before = before or standard_logging.Formatter()

    def format(self, record: standard_logging.LogRecord) -> str:
        return _by_line(self._before.format(record))


class _Marked(io.TextIOBase):
    """A stream that writes to standard error, with control characters shown as marks."""

    def write(self, text: str) -> int:
        sys.stderr.write(_by_line(text))
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _by_line(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))


class _Counted:
    """Replaces a progress bar: counts the items, and passes everything else to the silent bar."""

    def __init__(self, bar: object, items: Iterable[object], work: Work, task: str) -> None:
        self._bar, self._items, self._work, self._task = bar, items, work, task

    def __iter__(self) -> Iterator[object]:
        total = len(self._items) if isinstance(self._items, Sized) else None
        for done, item in enumerate(self._items):
            if total == 1:  # a bar would stay at 0 until the end
                self._work.report(self._task)
            else:
                self._work.report(self._task, done, total, "tensors")
            yield item
        self._work.report(self._task)  # the work after the last item is not counted

    def __getattr__(self, name: str) -> object:
        return getattr(self._bar, name)

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass
