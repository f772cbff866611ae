"""The first picture in the terminal, painted before Textual is loaded. Textual then paints the same one."""

from __future__ import annotations

import os
import sys
from types import TracebackType

PROGRAM = "phier"
ABOUT = "a dense language model and a pruned one, step by step"
STARTING = "Starting …"


class Splash:
    """Shows the name on a screen of its own. If anything fails before the explorer runs, the screen is removed."""

    def __enter__(self) -> Splash:
        self._write("\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J" + splash_lines(*_size()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _problem: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._write("\x1b[?25h\x1b[?1049l")

    def _write(self, text: str) -> None:
        stream = sys.__stderr__
        if stream is not None and stream.isatty():
            stream.write(text)
            stream.flush()


def splash_lines(width: int, height: int) -> str:
    """The lines of the opening screen, each after an escape sequence that moves the cursor to its place."""
    lines = [PROGRAM, ABOUT, "", STARTING]
    first = (height - 2 - len(lines)) // 2 + 2
    moved = [f"\x1b[1;2H{PROGRAM}"]
    moved += [f"\x1b[{first + row};{(width - len(line)) // 2 + 1}H{line}" for row, line in enumerate(lines) if line]
    return "".join(moved) if width > len(ABOUT) and height > 8 else ""


def _size() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24
