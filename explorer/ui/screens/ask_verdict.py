"""The dialogs of the verdict: the margin, and the tasks."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.state.judge_requests import VerdictChoice
from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.plain_text import PlainText
from explorer.words.verdict_figures import margin_text
from probes.schema.errors import PhierError
from probes.schema.items import TaskKind


class AskMargin(Dialog[float]):
    """Asks for the margin, in points or as a share."""

    title_text = "Margin"
    COMMAND_TABLE = (Command({"enter": ""}, "⏎", "Judges again.", label="judges again"), CANCEL)

    def __init__(self, margin: float) -> None:
        super().__init__()
        self._margin = margin

    def body(self) -> Iterator[Widget]:
        yield Static(
            "The largest loss at which a task still counts as safe: in points, 2 or 0.5 points, or as a share, 0.02.",
            markup=False,
        )
        points = 100 * self._margin
        shown = f"{points:g}" if points == 0 or points >= 1 else margin_text(self._margin)
        yield Input(shown, placeholder="2, 0.5 points or 0.02", id="margin")
        yield PlainText("", id="fault", classes="hint")

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        fault = self.query_one("#fault", Static)
        margin = margin_of(event.value)
        fault.set_class(isinstance(margin, str), "fault")
        fault.update(margin if isinstance(margin, str) else meant(margin))

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        margin = margin_of(event.value)
        if not isinstance(margin, str):
            self.dismiss(margin)


_MARGIN = re.compile(r"(?P<number>[^\s%a-z]+)\s*(?P<unit>%|points?)?", re.IGNORECASE)


def margin_of(text: str) -> float | str:
    """A margin from points or a share, or a sentence on what is wrong with it. Without a unit, a number below 1 is a
    share, as in the shell."""
    given = _MARGIN.fullmatch(text.strip())
    try:
        number = float(given["number"].replace(",", ".")) if given is not None else math.nan
    except ValueError:
        number = math.nan
    if given is None or math.isnan(number):
        return "Give points, such as 2 or 0.5 points, or a share, such as 0.02."
    margin = number if given["unit"] is None and number < 1 else number / 100
    if not 0 <= margin < 1:
        return "Give a margin from 0 to below 100 points."
    return margin


def meant(margin: float) -> str:
    """What a margin allows, as an example."""
    kept = f"{70 - 100 * margin:g}" if margin <= 0.7 else "0"
    return f"Margin: {margin_text(margin)}, so that 70 % may become {kept} %. No item is scored again."


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
