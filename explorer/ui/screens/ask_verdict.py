"""The dialogs of the verdict: the margin, and the tasks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.state.judge_requests import VerdictChoice
from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.plain_text import PlainText
from probes.schema.items import TaskKind


class AskMargin(Dialog[float]):
    """Asks for the margin in points."""

    title_text = "Margin"
    COMMAND_TABLE = (Command({"enter": ""}, "⏎", "Judges again.", label="judges again"), CANCEL)

    def __init__(self, margin: float) -> None:
        super().__init__()
        self._margin = margin

    def body(self) -> Iterator[Widget]:
        yield Static(
            "The largest loss, in points, at which a task still counts as safe: 2 means that 70 % may become 68 %.",
            markup=False,
        )
        yield Input(f"{100 * self._margin:g}", placeholder="points, such as 2", id="margin")
        yield PlainText("", id="fault", classes="hint")

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        fault = self.query_one("#fault", Static)
        margin = margin_of(event.value)
        fault.set_class(isinstance(margin, str), "fault")
        fault.update(margin if isinstance(margin, str) else "No item is scored again.")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        margin = margin_of(event.value)
        if not isinstance(margin, str):
            self.dismiss(margin)


def margin_of(text: str) -> float | str:
    """A margin from its points, or a sentence on what is wrong with it."""
    try:
        points = float(text.strip().removesuffix("%").replace(",", "."))
    except ValueError:
        return "Give a number of points, such as 2 or 0.5."
    if not (math.isfinite(points) and 0 <= points < 100):
        return "Give a number of points from 0 to below 100."
    return points / 100


class AskTasks(Dialog[VerdictChoice]):
    """Asks for the tasks: sets that ship, by name, and files of items."""

    title_text = "Tasks"
    COMMAND_TABLE = (Command({"enter": ""}, "⏎", "Scores them.", label="scores them"), CANCEL)

    def __init__(self, judging: VerdictChoice, shipped: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._judging = judging
        self._shipped = shipped

    def body(self) -> Iterator[Widget]:
        names = f" Those that ship: {', '.join(map(_described, self._shipped))}." if self._shipped else ""
        yield PlainText(f"Sets that ship, or files of items (JSON Lines, CSV), with spaces between.{names}")
        yield Input(" ".join(self._judging.tasks), placeholder="all that ship", id="tasks")
        yield PlainText("Items that are scored already are not scored again.", classes="hint")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        self.dismiss(replace(self._judging, tasks=tasks_of(event.value)))


_KINDS = {
    TaskKind.OPTIONS: "questions with options",
    TaskKind.CLASSIFICATION: "texts to label",
    TaskKind.RETRIEVAL: "queries over documents",
    TaskKind.GENERATION: "prompts with generated answers",
}


def _described(name: str) -> str:
    """A set that ships: its name, how many items it has, and of which kind."""
    from probes.tasks.item_files import item_set

    items = item_set(name)
    return f"{name} ({len(items)} {_KINDS[items.kind]})"


def tasks_of(text: str) -> tuple[str, ...]:
    """Names and paths; a path with spaces may be quoted."""
    import shlex

    try:
        return tuple(dict.fromkeys(shlex.split(text)))
    except ValueError:  # a quotation mark that is not closed belongs to a name
        return tuple(dict.fromkeys(text.split()))
