"""Keeps transformers and the hub off the terminal, turns their progress bars into events, and what they still say into
text that is safe to show: it quotes the files that are read."""

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
"""The bars' hook is one for the whole process."""


def silence_libraries() -> None:
    """Silences reports and bars for good; warnings stay where TRANSFORMERS_VERBOSITY asks for them.

    A bar's default lock starts a helper process that inherits the standard streams, which fails where an interface
    has replaced them, so bars get a plain lock first.
    """
    tqdm.set_lock(threading.RLock())
    logging.disable_progress_bar()  # the hub's with its own
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()
    for library in ("transformers", "huggingface_hub"):
        for handler in standard_logging.getLogger(library).handlers:
            if not isinstance(handler.formatter, _Marking):
                handler.setFormatter(_Marking(handler.formatter))
    if standard_logging.lastResort is not None:  # of libraries that have set up no logging of their own
        standard_logging.lastResort.setFormatter(_Marking(None))


@contextmanager
def marked_output() -> Iterator[None]:
    """While it lasts, what libraries print or warn of goes to standard error, with marks for what acts on a terminal.

    Nothing of it comes to standard output, which belongs to the figures. Standard error itself stays as it is: the
    progress that is shown meanwhile is drawn there.
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
        # An interface that has ended meanwhile has put its own back already.
        if sys.stdout is ours:
            sys.stdout = stdout
        if warnings.showwarning is shown:
            warnings.showwarning = warn


@contextmanager
def reporting(work: Work, task: str) -> Iterator[None]:
    """While it lasts, what transformers would draw as a bar is told to `work`, and cancelled work ends it."""

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
    """Formats as another one does, with marks."""

    def __init__(self, before: standard_logging.Formatter | None) -> None:
        super().__init__()
        self._before = before or standard_logging.Formatter()

    def format(self, record: standard_logging.LogRecord) -> str:
        return _by_line(self._before.format(record))


class _Marked(io.TextIOBase):
    """A stream that writes to standard error, with marks."""

    def write(self, text: str) -> int:
        sys.stderr.write(_by_line(text))
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _by_line(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))


class _Counted:
    """Stands in for a progress bar: counts what passes, and leaves the rest to the silent bar it stands before."""

    def __init__(self, bar: object, items: Iterable[object], work: Work, task: str) -> None:
        self._bar, self._items, self._work, self._task = bar, items, work, task

    def __iter__(self) -> Iterator[object]:
        total = len(self._items) if isinstance(self._items, Sized) else None
        for done, item in enumerate(self._items):
            if total == 1:  # which would stand at nothing until it is over
                self._work.report(self._task)
            else:
                self._work.report(self._task, done, total, "tensors")
            yield item
        self._work.report(self._task)  # what comes after the last one is not counted

    def __getattr__(self, name: str) -> object:
        return getattr(self._bar, name)

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass
