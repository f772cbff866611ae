"""Shows the progress of a command on standard error: a live line in a terminal, else a line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from explorer.config.environment import motion_is_reduced
from explorer.ui.splash import STARTING
from probes.schema.events import WorkProgressed
from probes.system.progress import Work

FIRST, SELDOM = 15.0, 240.0
"""Without a terminal: seconds until the first line, and at most between two; each wait is twice the last."""


class Bar:
    """Shows the present piece of work and its time; in a terminal it disappears at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            *(() if motion_is_reduced() else (BarColumn(),)),  # it moves to and fro while the end is not known
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            _TimeLeft(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._console, self._clock = console, clock
        self._begun = clock()
        self._latest = WorkProgressed(STARTING)
        self._ended = threading.Event()
        self._lines: threading.Thread | None = None

    def __enter__(self) -> Bar:
        self._progress.start()
        self.show(self._latest)
        if not self._console.is_terminal:
            self._lines = threading.Thread(target=self._tell_now_and_then, name="progress", daemon=True)
            self._lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._lines is not None:
            self._lines.join()
        self._progress.stop()

    @property
    def work(self) -> Work:
        """Work whose progress is shown here."""
        return Work(self.show)

    def show(self, event: WorkProgressed) -> None:
        """Updates the line of this piece of work, or begins it."""
        if event.task not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, visible=False)
            self._tasks[event.task] = self._progress.add_task(event.task, total=event.total, amount="")
            self._begun = self._clock()
        self._latest = event
        self._progress.update(
            self._tasks[event.task], completed=event.done or 0, total=event.total, amount=_amount(event)
        )

    def tell(self) -> None:
        """Prints a line on the present piece of work."""
        event = self._latest
        elapsed = self._clock() - self._begun
        left = time_left(elapsed, event.done or 0, event.total)
        passed = ", ".join(filter(None, (f"{elapsed:.0f} s", left)))
        amount = _amount(event) or _share(event)
        self._console.print(
            f"{event.task}: {amount}, {passed}" if amount else f"{event.task}: {passed}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _tell_now_and_then(self) -> None:
        wait = FIRST
        while not self._ended.wait(wait):
            self.tell()
            wait = min(2 * wait, SELDOM)


class _TimeLeft(ProgressColumn):
    """The time left at the present pace, as soon as the pace is known."""

    def render(self, task: Task) -> Text:
        return Text(time_left(task.elapsed or 0.0, task.completed, task.total), "progress.remaining")


def time_left(elapsed: float, done: float, total: float | None) -> str:
    """`1:30 left`, by the pace since the beginning; "" in the first five seconds, and before a fiftieth is done.

    The first bytes of a download arrive late and slowly: their pace would promise hours.
    """
    if not total or elapsed < 5 or done < total / 50:
        return ""
    return f"{minutes_text(elapsed * (total - done) / done)} left"


def minutes_text(seconds: float) -> str:
    """`1:30`, or with hours `2:01:30`."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _share(event: WorkProgressed) -> str:
    return f"{100 * event.done / event.total:.0f} %" if event.done is not None and event.total else ""


def _amount(event: WorkProgressed) -> str:
    if event.done is None or not event.unit:
        return ""
    if event.unit == "bytes":
        of = f" of {event.total / 1e6:.0f}" if event.total else ""
        return f"{event.done / 1e6:.1f}{of} MB"
    of = f" of {event.total:.0f}" if event.total else ""
    return f"{event.done:.0f}{of} {event.unit}"
