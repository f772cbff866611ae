"""Keeps transformers and the hub off the terminal, and turns their progress bars into events."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

from tqdm.std import tqdm
from transformers.utils import logging

from probes.loading.work import Work

_ONE_AT_A_TIME = threading.RLock()
"""The bars' hook is one for the whole process."""


def hush() -> None:
    """Silences reports and bars for good; warnings stay where TRANSFORMERS_VERBOSITY asks for them.

    A bar's default lock starts a helper process that inherits the standard streams, which fails where an interface
    has replaced them, so bars get a plain lock first.
    """
    tqdm.set_lock(threading.RLock())
    logging.disable_progress_bar()  # the hub's with its own
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()


@contextmanager
def reporting(work: Work, task: str) -> Iterator[None]:
    """While it lasts, what transformers would draw as a bar is told to `work`, and cancelled work ends it."""

    def counted(factory: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Counted:
        return _Counted(factory(*args, **kwargs), args[0] if args else kwargs.get("iterable", ()), work, task)

    hush()
    with _ONE_AT_A_TIME:
        before = logging.set_tqdm_hook(counted)
        try:
            yield
        finally:
            logging.set_tqdm_hook(before)


class _Counted:
    """Stands in for a progress bar: counts what passes, and leaves the rest to the silent bar it stands before."""

    def __init__(self, bar: object, items: Iterable[object], work: Work, task: str) -> None:
        self._bar, self._items, self._work, self._task = bar, items, work, task

    def __iter__(self) -> Iterator[object]:
        total = len(self._items) if isinstance(self._items, Sized) else None
        for done, item in enumerate(self._items):
            if total == 1:  # which would stand at nothing until it is over
                self._work.tell(self._task)
            else:
                self._work.tell(self._task, done, total, "tensors")
            yield item
        self._work.tell(self._task)  # what comes after the last one is not counted

    def __getattr__(self, name: str) -> object:
        return getattr(self._bar, name)

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass
