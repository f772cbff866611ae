"""Full screens with a cursor over the steps of a run: the keys that move it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from explorer.state.view import View
from explorer.ui.commands import Command
from explorer.ui.screens.reasoned_page import ReasonedPage

State = TypeVar("State")


class CursorPage(ReasonedPage):
    """A screen that shows the step at the view's cursor."""

    view: View

    def action_move(self, steps: int) -> None:
        self.view.move(steps)
        self.show()

    def action_first(self) -> None:
        self.go_to_step(1)

    def action_newest(self) -> None:
        self.view.follow_newest()
        self.show()

    def action_split(self) -> None:
        if self.view.split is None:
            self.notify("The two choices have been the same so far.", title="No split")
        self.go_to_step(self.view.split)

    def action_highest(self) -> None:
        self.go_to_step(self.view.highest_kl())

    def go_to_step(self, step: int | None) -> None:
        """Moves the cursor to a step, if there is one."""
        if step is not None and self.view.newest:
            self.view.move_to(step)
            self.show()


def models_needed(view: View) -> str:
    """The sentence on a key that has no effect in a recording."""
    more = " m loads them and continues from here." if view.revivable else ""
    return f"This key needs the models.{more}"


def cursor_commands(
    view: Callable[[State], View], offered: Callable[[State], bool] = lambda _: True
) -> tuple[Command[State], ...]:
    """The commands of a `CursorPage`. `view` gets the view from the state of the screen's commands; `offered` says if
    the arrows belong in the key line now."""

    def when(state: State) -> bool:
        return view(state).newest > 0

    return (
        Command(
            {"left": "move(-1)", "right": "move(1)"},
            "← →",
            "Moves the cursor one step back or forward.",
            label="cursor",
            when=when,
            offered=offered,
            weight=78,
        ),
        Command(
            {"pageup": "move(-10)", "pagedown": "move(10)"},
            "PgUp PgDn",
            "Moves the cursor ten steps back or forward.",
            when=when,
        ),
        Command({"home": "first"}, "Home", "Moves the cursor to the first step.", name="Cursor: First step", when=when),
        Command({"end": "newest"}, "End", "Follows the newest step.", name="Cursor: Follow the newest", when=when),
        Command(
            {"g": "split"},
            "g",
            "Moves the cursor to the first split.",
            label="split",
            name="Cursor: First split",
            when=when,
            weight=20,
        ),
        Command(
            {"G,shift+g": "highest"},
            "G",
            "Moves the cursor to the step with the highest KL.",
            name="Cursor: Highest KL",
            when=when,
        ),
    )
