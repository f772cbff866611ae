"""Errors that a screen has shown, which leaves no place for a traceback."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

_BEHIND: deque[BaseException] = deque(maxlen=8)
"""The latest errors that were shown on a screen, which leaves no place for a traceback."""


def remember_shown(problem: BaseException) -> None:
    """Keeps an error that a screen has shown, so that --debug can show its traceback when the screen closes."""
    _BEHIND.append(problem)


def take_shown() -> Iterator[BaseException]:
    """The errors that were shown since they were last taken."""
    while _BEHIND:
        yield _BEHIND.popleft()
