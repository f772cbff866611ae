"""Shows on standard error how far a sweep is: a live line in a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from explorer.cli.progress_bar import FIRST, SELDOM, minutes_text
from explorer.words.token_text import flowing
from probes.schema.sweep import SweepProgress

if TYPE_CHECKING:
    from probes.sweep.estimate import SweepEstimate

_LISTED = 3
"""How many running cells are named."""


class SweepBar:
    """Shows the cells that are done, running and failed, and the time left; in a terminal it disappears at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._progress = Progress(
            BarColumn(), TextColumn("{task.description}", markup=False), console=console, transient=True
        )
        self._progress.disable = not console.is_terminal
        self._line = self._progress.add_task("")
        self._wait, self._told = FIRST, clock()

    def __enter__(self) -> SweepBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """Prints a line that stays."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, progress: SweepProgress) -> None:
        """Shows how far the sweep is; without a terminal only now and then."""
        sentence = progress_sentence(progress)
        done = progress.done + progress.failed + sum(share for _, share in progress.running)
        self._progress.update(self._line, completed=done, total=progress.of, description=sentence)
        if not self._console.is_terminal and self._clock() - self._told >= self._wait:
            self._told, self._wait = self._clock(), min(2 * self._wait, SELDOM)
            self.say(sentence)


def progress_sentence(progress: SweepProgress) -> str:
    """ "12 of 60 cells done, 1 failed · wanda:0.3 on facts 45 % · about 21:30 left"."""
    done = f"{progress.done:,} of {progress.of:,} cells done"
    parts = [f"{done}, {progress.failed:,} failed" if progress.failed else done]
    running = [f"{flowing(name)} {100 * share:.0f} %" for name, share in progress.running[:_LISTED]]
    if more := len(progress.running) - len(running):
        running.append(f"{more:,} more")
    if running:
        parts.append(", ".join(running))
    if progress.elsewhere:
        parts.append(f"{progress.elsewhere:,} computed by other programs")
    if progress.seconds_left is not None and running:
        parts.append(f"about {minutes_text(progress.seconds_left)} left")
    return " · ".join(parts)


def estimate_sentence(estimate: SweepEstimate, of: int) -> str:
    """ "45 of 60 cells to compute: about 1:02:30, and 1.4 GB of memory a worker, by the cells that are known."."""
    if not estimate.cells:
        return f"All {of:,} cells are known."
    left = f"{estimate.cells:,} of {of:,} cells to compute"
    memory = f"{estimate.bytes_each / 1e9:.1f} GB of memory a worker"
    if not estimate.measured:
        return f"{left}: about {memory}. The time is estimated once a cell is computed."
    return f"{left}: about {minutes_text(estimate.seconds)}, and {memory}, by the cells that are known."
