"""The base of the screens with a list, whose cursor chooses what the rest of the screen shows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from textual import on

from explorer.sources.source import Source
from explorer.state.item_list import answer_steps, item_settings
from explorer.state.judge_requests import JudgeRequests
from explorer.state.row_search import KeptSearches, Searchable
from explorer.state.searched_rows import ITEMS
from explorer.state.view import View
from explorer.ui.commands import Command
from explorer.ui.messages import ItemRunAsked
from explorer.ui.screens.results_page import ResultsPage
from explorer.ui.screens.row_finding import FindingPage
from explorer.ui.widgets.row_list import RowConfirmed, RowPointed
from explorer.words.bound_keys import key_of
from probes.schema.events import ItemScored

OnList = TypeVar("OnList", bound="ListPage")


def row_commands(one: str, many: str) -> tuple[Command[OnList], ...]:
    """The keys that move the cursor over a list: `one` is what a row is."""
    return (
        Command(
            {"up": "row(-1)", "down": "row(1)"},
            "↑ ↓",
            f"Chooses another {one}.",
            label=one,
            when=lambda screen: screen.count > 0,
            weight=85,
        ),
        Command({"pageup": "row(-10)", "pagedown": "row(10)"}, "PgUp PgDn", f"Moves ten {many} up or down."),
        Command({"home": "row(-1000000)", "end": "row(1000000)"}, "Home End", f"Chooses the first or the last {one}."),
    )


def open_command(what: str, back: str, area: str) -> Command[OnList]:
    """⏎, which opens the row as a run; the key of the command `back` comes back to the list."""
    return Command(
        {"enter": "open"},
        "⏎",
        f"Opens {what}; {key_of(back)} there comes back to this list.",
        label="open",
        name=f"{area}: Open as a run",
        when=lambda screen: not screen.why_shut(),
        weight=84,
    )


class ListPage(FindingPage, ResultsPage):
    """A screen with a list and a cursor."""

    @property
    def row(self) -> int:
        """The place of the cursor."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def keep_row(self, row: int) -> None:
        """Remembers that this row, which there is, is the chosen one."""
        raise NotImplementedError

    def why_shut(self) -> str:
        """Why ⏎ has no effect on the chosen row; "" if it has."""
        raise NotImplementedError

    def why_not(self, command: Command[Any]) -> str:  # noqa: ARG002 - one reason for all, unless a subclass has more
        return self.why_shut()

    @property
    def searches(self) -> KeptSearches:
        return self.judging.searches

    @property
    def place(self) -> int:
        return self.row

    def go_to_place(self, place: int) -> None:
        self.go_to_row(place)

    def action_leave(self) -> None:
        """Ends a search, closes a zoomed panel, or goes back."""
        if self.zoomed or not self.end_search():
            super().action_leave()

    def go_to_row(self, row: int) -> None:
        """Chooses a row, or the one nearest to it that there is."""
        if self.count:
            self.keep_row(max(0, min(row, self.count - 1)))
            self.show()

    def action_row(self, rows: int) -> None:
        self.go_to_row(self.row + rows)

    @on(RowPointed)
    def point(self, message: RowPointed) -> None:
        message.stop()
        self.go_to_row(message.place)

    @on(RowConfirmed)
    async def confirm(self, message: RowConfirmed) -> None:
        """Does what ⏎ does."""
        message.stop()
        self.go_to_row(message.place)
        command = self.usual_command("enter")
        if command is not None and not self.say_why_not(command):
            await self.run_action(command.action)


class TaskPage(ListPage):
    """The list of the scored items of one task."""

    ITEM = "item"
    """What a row is."""

    def __init__(self, task: str, source: Source, view: View, judging: JudgeRequests) -> None:
        super().__init__(source, view, judging)
        self.task_name = task

    @property
    def chosen(self) -> ItemScored | None:
        """The item of the chosen row, if it was scored."""
        raise NotImplementedError

    def why_shut(self) -> str:
        why = "" if self.view.opens_items else self.why_no_models()
        chosen = self.chosen if self.is_mounted else None
        if why or (chosen is not None and chosen.prompt is not None):
            return why
        return f"No {self.ITEM} is chosen." if chosen is None else "Its prompt is not known."

    def action_open(self) -> None:
        """Opens the chosen item on the main screen, which comes back here."""
        one = self.chosen
        if one is not None and self.view.opens_items:
            self.post_message(ItemRunAsked(self.task_name, one.result.item, answer_steps(one.result)))
        elif one is not None and (prompt := one.prompt) is not None:
            self.judging.open_task = self.task_name
            steps = answer_steps(one.result)
            settings = partial(item_settings, prompt=prompt, answer=steps)
            self.open_run(settings, f"{self.ITEM} {prompt.item}", first_step=not steps)
            self.view.to_split = bool(steps)

    @property
    def list_name(self) -> str:
        return f"{super().list_name} {self.task_name}"

    @property
    def searchable(self) -> Searchable:
        return replace(ITEMS, one=self.ITEM)

    def action_leave(self) -> None:
        if not self.zoomed and self.search is None:
            self.judging.open_task = ""
        super().action_leave()
