"""The list of steps: the worst by any figure, the marked ones, those found, those explained. One jumps to a step."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from explorer.state.step_lists import StepKind, StepListLook, listed_figures
from explorer.state.view import View
from explorer.ui.commands import Command, page_commands
from explorer.ui.screens.cursor_page import toggle_mark
from explorer.ui.screens.model_names import model_names
from explorer.ui.screens.page import too_small
from explorer.ui.screens.reasoned_page import ReasonedPage
from explorer.ui.theme import palette
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.row_list import RowConfirmed, RowPointed
from explorer.ui.widgets.step_table import StepTable


def _has_rows(screen: StepsScreen) -> bool:
    return screen.is_mounted and screen.table.count > 0


def _is_sorted(screen: StepsScreen) -> bool:
    return screen.look.kind is StepKind.WORST


STEPS_COMMANDS: tuple[Command[StepsScreen], ...] = (
    Command(
        {"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Chooses another step.", label="step", when=_has_rows, weight=85
    ),
    Command({"pageup": "row(-10)", "pagedown": "row(10)"}, "PgUp PgDn", "Moves ten rows up or down.", when=_has_rows),
    Command(
        {"home": "row(-1000000)", "end": "row(1000000)"},
        "Home End",
        "Chooses the first or the last row.",
        when=_has_rows,
    ),
    Command(
        {"enter": "open"},
        "⏎",
        "Goes to the chosen step.",
        label="go there",
        name="Steps: Go to this step",
        when=_has_rows,
        weight=84,
    ),
    Command(
        {str(place): f"list({place})" for place in range(1, len(StepKind) + 1)},
        f"1–{len(StepKind)}",
        "Lists the worst steps, the marked ones, those found, those explained.",
        label="other list",
        weight=83,
    ),
    Command(
        {"left": "figure(-1)", "right": "figure(1)"},
        "← →",
        "Sorts by another figure.",
        label="figure",
        when=_is_sorted,
        weight=82,
    ),
    Command(
        {"c": "choose"},
        "c",
        "Chooses the figure to sort by, from a list with definitions.",
        name="Steps: Choose the figure",
        when=_is_sorted,
    ),
    Command(
        {"slash": "find"},
        "/",
        "Finds a text, or steps such as kl>0.5 or split, and lists them.",
        label="find",
        name="Find: In this run",
        weight=70,
    ),
    Command(
        {"M,shift+m": "mark"},
        "M",
        "Marks the chosen step, or unmarks it.",
        label="mark",
        name="Marks: Mark this step",
        when=_has_rows,
        weight=65,
    ),
    *page_commands("Steps", "Goes back."),
)


class StepsScreen(ReasonedPage):
    """Shows the list."""

    HOME = "#step-list"
    AUTO_FOCUS = "#step-list"
    COMMAND_TABLE = STEPS_COMMANDS

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view: View = view
        self.look: StepListLook = StepListLook()

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            yield StepTable()
        yield too_small()
        yield KeyLine()

    @property
    def table(self) -> StepTable:
        return self.query_one(StepTable)

    def show(self) -> None:
        self.query_one("#title", Static).update(self._title())
        self.table.show(self.view, self.look)
        self.query_one(KeyLine).show(self.key_hints())

    def _title(self) -> Text:
        colours, header, parts = palette(self.app.theme), self.view.header, []
        for place, kind in enumerate(StepKind, start=1):
            parts.append((f" {place} {kind.value} ", colours.selected if kind is self.look.kind else colours.muted))
        names = (header.dense.name, header.title) if header else ("", "")
        live = ("  " if self.view.live else "  recording  ", colours.muted)
        title = Text.assemble((" steps  ", colours.strong), *parts, live)
        return model_names(title, *names, self.size.width, colours)

    def why_not(self, command: Command[StepsScreen]) -> str:
        if command.when is _is_sorted:
            return "Only the worst steps (1) are sorted by a figure."
        return "The list is empty."

    # Actions.

    def action_row(self, rows: int) -> None:
        self.table.move_to(self.table.row + rows)

    def action_list(self, place: int) -> None:
        self.look = replace(self.look, kind=list(StepKind)[place - 1])
        self.show()

    def action_figure(self, places: int) -> None:
        self.look = self.look.with_next(self.view, places)
        self.table.move_to(0)
        self.show()

    def action_choose(self) -> None:
        """Chooses the figure to sort by."""
        from explorer.ui.screens.figures import FigureList

        def answered(key: str | None) -> None:
            if key is not None:
                self.look = replace(self.look, figure=key)
                self.table.move_to(0)
                self.show()

        self.app.push_screen(FigureList((self.look.figure,), listed_figures(self.view)), answered)

    def action_mark(self) -> None:
        if (step := self.table.chosen) is not None:
            toggle_mark(self, self.view, step)
            self.show()

    def action_find(self) -> None:
        from explorer.ui.screens.find_steps import ask_steps

        ask_steps(self.app, self.view, lambda: self.action_list(list(StepKind).index(StepKind.FOUND) + 1))

    def action_open(self) -> None:
        step = self.table.chosen
        if step is not None:
            self.view.move_to(step)
            self.app.pop_screen()

    @on(RowPointed)
    def point(self, message: RowPointed) -> None:
        message.stop()
        self.table.move_to(message.place)

    @on(RowConfirmed)
    def confirm(self, message: RowConfirmed) -> None:
        message.stop()
        self.table.move_to(message.place)
        self.action_open()

    def action_explain(self) -> None:
        from explorer.ui.screens.help import ExplanationDialog
        from explorer.words.explanations import explanation_of

        self.app.push_screen(ExplanationDialog(explanation_of("step-list")))

    def action_leave(self) -> None:
        if self.zoomed:
            self.close_zoom()
        else:
            self.app.pop_screen()
