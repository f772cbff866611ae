"""Full screens with a cursor over the steps of a run: the keys that move it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from explorer.state.view import Under, View
from explorer.ui.commands import Command
from explorer.ui.screens.reasoned_page import ReasonedPage
from explorer.words.bound_keys import key_of
from probes.schema.counting import number_of
from probes.schema.errors import Failure
from probes.schema.settings import Follow

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
            self.notify(no_split(self.view), title="No split")
        self.go_to_step(self.view.split)

    def action_highest(self) -> None:
        self.go_to_step(self.view.highest_kl())

    # The search, the marks, and the list of steps.

    def action_find(self) -> None:
        """Asks what to find in the run, and goes to the first hit from the cursor on."""
        from explorer.ui.screens.find_steps import ask_steps

        ask_steps(self.app, self.view, partial(self.find_next, here=True))

    def find_next(self, *, forward: bool = True, here: bool = False) -> bool:
        """Goes to the next hit of the search, or to the one before. False if no search is open."""
        view = self.view
        if view.search is None:
            return False
        hits = view.hits
        step = view.search.next_from(view.cursor, forward=forward, here=here) if hits else None
        if step is None:
            self.notify(f"{view.search.text} is found at no step so far.", title="Find")
        self.go_to_step(step)
        self.show()
        return True

    def action_find_previous(self) -> None:
        self.find_next(forward=False)

    def end_search(self) -> bool:
        """Ends the search. False if none is open."""
        if self.view.search is None:
            return False
        self.view.search = None
        self.show()
        return True

    def action_mark_step(self) -> None:
        """Marks the step at the cursor, or unmarks it."""
        toggle_mark(self, self.view, self.view.cursor)
        self.show()

    def action_next_mark(self) -> None:
        """Goes to the next marked step; after the last one, to the first."""
        marked = self.view.marked
        if not marked:
            self.notify(f"No step of this run is marked. {key_of('mark-step')} marks one.", title="Marks")
            return
        self.go_to_step(next((step for step in marked if step > self.view.cursor), marked[0]))

    def action_steps(self) -> None:
        """Lists the worst steps, the marked ones, those found, and those explained."""
        from explorer.ui.screens.steps import StepsScreen

        self.app.push_screen(StepsScreen(self.view))

    def go_to_step(self, step: int | None) -> None:
        """Moves the cursor to a step, if there is one."""
        if step is not None and self.view.newest:
            self.view.move_to(step)
            self.show()


def toggle_mark(page: ReasonedPage, view: View, step: int) -> None:
    """Marks a step, or unmarks it, and says so."""
    try:
        marked = view.marks.toggle(view.branches, step)
    except Failure as problem:
        page.notify(f"{problem.message} {problem.hint}".strip(), title="The mark is not kept", severity="warning")
        return
    page.notify(f"Step {step} is {'marked' if marked else 'no longer marked'}.", title="Marks", timeout=2)


def no_split(view: View) -> str:
    """Why there is no split to go to, and what decides where tokens do not."""
    steps = number_of(view.newest, "step")
    if view.opened or view.under is Under.ITEMS:
        if view.follow is Follow.DENSE and view.watch:
            return (
                "Both models' most likely token is the same here. The item is decided among its options: their "
                f"probabilities are below the table, and {key_of('watched')} shows them."
            )
        if view.follow is Follow.TEXT:
            return f"Both would choose the same token at each of {steps}. {key_of('highest')} goes to the highest KL."
    return f"Both models chose the same token at each of {steps} so far."


def models_needed(view: View) -> str:
    """The sentence on a key that has no effect in a recording."""
    more = f" {key_of('models')} loads them and continues from here." if view.revivable else ""
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
            name="Cursor: One step",
            when=when,
            offered=offered,
            weight=78,
        ),
        Command(
            {"pageup": "move(-10)", "pagedown": "move(10)"},
            "PgUp PgDn",
            "Moves the cursor ten steps back or forward.",
            name="Cursor: Ten steps",
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
        Command(
            {"slash": "find"},
            "/",
            f"Finds a text, or steps such as kl>0.5 or split; {key_of('step')} and {key_of('find-previous')} then go "
            "to the "
            "next and "
            "the previous one.",
            label="find",
            name="Find: In this run",
            when=when,
            weight=52,
        ),
        Command(
            {"N,shift+n": "find_previous"},
            "N",
            "Goes to the previous step that is found.",
            name="Find: Previous",
            when=lambda state: view(state).search is not None and when(state),
        ),
        Command(
            {"L,shift+l": "steps"},
            "L",
            "Lists the worst steps by any figure, the marked ones, those found, and those explained.",
            label="worst",
            name="Find: List of steps",
            when=when,
            weight=44,
        ),
        Command(
            {"M,shift+m": "mark_step"},
            "M",
            "Marks the step at the cursor, or unmarks it. Marks are kept when you quit.",
            name="Marks: Mark this step",
            when=when,
        ),
        Command(
            {"apostrophe": "next_mark"},
            "'",
            "Goes to the next marked step.",
            name="Marks: Next one",
            when=when,
        ),
    )


STEP_OR_NEXT = "Measures one step. While a search is open, goes to the next step that it finds."


def can_find_next(view: View) -> bool:
    """Is a search open, whose next hit `n` goes to?"""
    return view.search is not None and view.newest > 0
