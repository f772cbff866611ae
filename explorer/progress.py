"""A progress line for commands without a screen, on standard error."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from probes.events import WorkProgressed


class Bar:
    """Shows one line for each piece of work; they go away when everything is done."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: WorkProgressed) -> None:
        """Moves the line of this piece of work on, or begins it."""
        if event.task not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, visible=False)
            self._tasks[event.task] = self._progress.add_task(event.task, total=event.total, amount="")
        self._progress.update(
            self._tasks[event.task], completed=event.done or 0, total=event.total, amount=_amount(event)
        )


def _amount(event: WorkProgressed) -> str:
    if event.done is None or not event.unit:
        return ""
    if event.unit == "bytes":
        of = f" of {event.total / 1e6:.0f}" if event.total else ""
        return f"{event.done / 1e6:.1f}{of} MB"
    of = f" of {event.total:.0f}" if event.total else ""
    return f"{event.done:.0f}{of} {event.unit}"
