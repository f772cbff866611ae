"""The dialogs of the verdict: the margin, and the tasks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.state.judge_requests import VerdictChoice
from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.plain_text import PlainText
from probes.schema.errors import PhierError
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

    def __init__(self, judging: VerdictChoice, shipped: tuple[str, ...] = (), judged: Sequence[str] = ()) -> None:
        """`judged` are the names of the tasks that there are results of."""
        super().__init__()
        self._judging = judging
        self._shipped = shipped
        self._known = {*shipped, *judged}

    def body(self) -> Iterator[Widget]:
        names = f" Those that ship: {', '.join(map(_described, self._shipped))}." if self._shipped else ""
        yield PlainText(f"Sets that ship, or files of items (JSON Lines, CSV), with spaces between.{names}")
        yield Input(" ".join(self._judging.tasks), placeholder="all that ship", id="tasks")
        yield PlainText(_KEPT, classes="hint", id="fault")

    @on(Input.Changed)
    def clear(self) -> None:
        self._say("")

    @on(Input.Submitted)
    async def submit(self, event: Input.Submitted) -> None:
        """Closes the dialog only if there are such tasks: until then whatever is being scored goes on."""
        tasks = tasks_of(event.value)
        fault = await asyncio.to_thread(_fault, [one for one in tasks if one not in self._known])
        if fault:
            self._say(fault)
        else:
            self.dismiss(replace(self._judging, tasks=tasks))

    def _say(self, fault: str) -> None:
        said = self.query_one("#fault", Static)
        said.set_class(bool(fault), "fault")
        said.update(fault or _KEPT)


_KEPT = "Items that are scored already are not scored again."


def _fault(tasks: Sequence[str]) -> str:
    """What is wrong with the first task that there is not; "" if nothing is."""
    from probes.tasks.item_files import check_item_file

    try:
        for task in tasks:
            check_item_file(task)
    except PhierError as problem:
        return f"{problem.message} {problem.hint}".strip()
    return ""


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
