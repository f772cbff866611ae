"""Errors that a screen has shown. They are kept because a screen has no place for a traceback."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from probes.schema.errors import FailureKind, PhierError
from probes.schema.events import Failed
from probes.schema.foreign_text import said

_SHOWN: deque[BaseException] = deque(maxlen=8)


def failure_of(problem: Exception, request: int = 0) -> Failed:
    """The event of an error that was raised while a request was answered. The error is kept for --debug."""
    remember_shown(problem)
    if isinstance(problem, PhierError):
        return Failed(problem.title, problem.message, problem.hint, problem.kind, request=request)
    unexpected = FailureKind.UNEXPECTED
    return Failed("Unexpected error", said(problem), "What was measured is kept.", unexpected, request=request)


def remember_shown(problem: BaseException) -> None:
    """Keeps an error that a screen has shown, so that --debug can show its traceback when the screen closes."""
    _SHOWN.append(problem)


def take_shown() -> Iterator[BaseException]:
    """The errors that were shown since they were last taken."""
    while _SHOWN:
        yield _SHOWN.popleft()
