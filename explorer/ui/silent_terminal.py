"""A terminal that does not show what is typed before the explorer reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

STANDARD_INPUT = 0


@contextmanager
def no_echo(handle: int = STANDARD_INPUT) -> Iterator[None]:
    """Turns the echo off and hands every key on at once, so that the explorer reads those pressed while it starts.

    Textual restores what it finds, which is this; on every way out the terminal is again as it was before.
    """
    try:
        import termios
    except ImportError:  # a system without them
        yield
        return
    try:
        before = termios.tcgetattr(handle)
    except termios.error:
        yield
        return
    silent = [*before]
    silent[0] &= ~termios.ICRNL  # ⏎ is read as Textual expects it
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(handle, termios.TCSANOW, silent)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(handle, termios.TCSANOW, before)
