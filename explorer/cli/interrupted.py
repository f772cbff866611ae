"""Ends the program with a sentence if it is interrupted before any command has begun."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def said_when_interrupted() -> Iterator[None]:
    """Turns Ctrl+C in its block into a sentence and the exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted before it began.\n")
        raise SystemExit(130) from None
