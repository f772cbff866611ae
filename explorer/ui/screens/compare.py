"""The comparison screen: recordings of one prompt side by side, as texts, charts, and figures with differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from explorer.recordings.comparison import RunComparison
from explorer.state.axis import Axis
from explorer.state.columns import Columns
from explorer.ui.commands import COPY, DEFINE, FOCUS, HELP, PALETTE, QUIT, THEME, ZOOM, Command
from explorer.ui.messages import StepPointed
from explorer.ui.screens.page import Page, too_small
from explorer.ui.theme import palette
from explorer.ui.widgets.chart import Chart, ChartLine, Picture
from explorer.ui.widgets.comparison import DASHES, ENTRIES, ROLES, SIGNS, ComparedFigures, ComparedTexts, style_of
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.line_widget import FramedWidget
from explorer.ui.widgets.named_figures import TITLE, NamedFigures, Names
from explorer.ui.widgets.space_panel import scale_of
from explorer.words.charts import ChartKind, charts
from explorer.words.token_text import flowing

if TYPE_CHECKING:
    from explorer.ui.copying import Copyable

COMPARED_CHARTS = charts("h.cos", "z.cos_centred", "p.kl", "sum.kl")


COMPARISON_COMMANDS: tuple[Command[ComparisonScreen], ...] = (
    Command(
        {"left": "move(-1)", "right": "move(1)"}, "← →", "Moves the cursor one step back or forward.", label="cursor"
    ),
    Command(
        {"pageup": "move(-10)", "pagedown": "move(10)"}, "PgUp PgDn", "Moves the cursor ten steps back or forward."
    ),
    Command(
        {"home": "move(-1000000)", "end": "move(1000000)"}, "Home End", "Moves the cursor to the first or last step."
    ),
    Command({"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Scrolls the table of figures.", label="figures"),
    Command(
        {"c": "side"},
        "c",
        "Shows the other model's texts.",
        label=lambda screen: f"{screen.other_side} text",
        name="View: Other text",
    ),
    Command(
        {"g": "divergence"},
        "g",
        "Moves the cursor to the step at which the texts diverge.",
        label="divergence",
        name="Cursor: Divergence",
        when=lambda screen: screen.diverges_at is not None,
    ),
    Command(
        {"l": "scale"},
        "l",
        "Draws divergences on a log scale, or a linear one.",
        label=lambda screen: "linear" if screen.log_scale else "log",
        name="View: Log or linear",
    ),
    ZOOM,
    COPY,
    THEME,
    Command({"escape": "leave"}, "Esc", "Goes back, or closes a zoomed panel.", label="back", name="Comparison: Back"),
    DEFINE,
    HELP,
    QUIT,
    FOCUS,
    PALETTE,
)


class ComparedChart(NamedFigures, FramedWidget, can_focus=True):
    """A chart of one figure of every recording, over the same steps and on the shared context."""

    def __init__(self, kind: ChartKind) -> None:
        super().__init__(id=kind.key.replace(".", "-"), classes="panel chart-panel")
        self._kind = kind

    def names_in(self, line: int) -> Names:
        return {self._kind.title: self._kind.key} if line == TITLE else {}

    @property
    def figure_keys(self) -> Sequence[str]:
        return (self._kind.key,)

    def compose(self) -> ComposeResult:
        yield Chart()

    def show(self, columns: list[Columns], axis: Axis, cursor: int, log: bool) -> None:
        lines = tuple(
            ChartLine(one.get(self._kind.key), ROLES[place % ENTRIES], DASHES[place % ENTRIES])
            for place, one in enumerate(columns)
        )
        lowest = min(line.column.lowest for line in lines)
        highest = max(line.column.highest for line in lines)
        scale = scale_of(self._kind.scale, lowest, highest, log)
        self.entitle(
            Text(f"{self._kind.title} {self._kind.better}"),
            Text(f"steps {axis.first}–{min(axis.last, max(map(len, columns)))}"),
        )
        self.query_one(Chart).show(Picture(lines, axis, scale, axis.count, cursor, falls=self._kind.falls))


class ComparisonScreen(Page):
    """Shows a comparison; texts and charts share one cursor."""

    HOME = "#figures"
    AUTO_FOCUS = "#figures"
    COMMAND_TABLE = COMPARISON_COMMANDS

    def __init__(self, compared: RunComparison) -> None:
        super().__init__()
        self._compared = compared
        self._columns = [Columns(entry.records) for entry in compared.entries]
        self._longest = max(len(entry.records) for entry in compared.entries)
        self._cursor = 1
        self._side = 1
        self.log_scale: bool = True

    def compose(self) -> ComposeResult:
        yield Static(self._title(), id="title", markup=False)
        with Vertical(id="body"):
            if self._compared.warnings:
                yield Static("\n".join(self._compared.warnings), id="warnings", markup=False)
            with Horizontal(id="compared-top"):
                yield ComparedTexts()
            with Horizontal(id="compared-charts"):
                for kind in COMPARED_CHARTS:
                    yield ComparedChart(kind)
            with Horizontal(id="compared-bottom"):
                yield ComparedFigures()
                yield Static("\n".join(self._notes()), id="notes", classes="panel", markup=False)
        yield too_small()
        yield KeyLine()

    def _title(self) -> Text:
        colours = palette(self.app.theme)
        parts = [Text(" phier   ", colours.strong)]
        for place, entry in enumerate(self._compared.entries):
            parts.append(Text(f"{SIGNS[place % ENTRIES]} {flowing(entry.label)}   ", style_of(colours, place)))
        return Text.assemble(*parts)

    def _notes(self) -> list[str]:
        notes = list(self._compared.notes)
        if len(self._compared.entries) > ENTRIES:
            notes.append(f"There are {ENTRIES} kinds of line: with more recordings, some look the same.")
        known = [entry.header.settings.prompt for entry in self._compared.entries if not entry.run.headless]
        return [*notes, *(f"Prompt: {flowing(' '.join(prompt.split()))}" for prompt in known[:1])]

    def show(self) -> None:
        axis = Axis.of(self._longest)
        self.query_one(ComparedTexts).show(self._compared, self._cursor, self._side)
        self.query_one(ComparedFigures).show(self._compared)
        for chart in self.query(ComparedChart):
            chart.show(self._columns, axis, self._cursor, self.log_scale)
        self.query_one(KeyLine).show(self.key_hints())

    @property
    def other_side(self) -> str:
        """The model whose texts are not shown."""
        return self._compared.texts[1 - self._side].side

    @property
    def diverges_at(self) -> int | None:
        """The step at which the texts that are shown diverge."""
        return self._compared.texts[self._side].diverges_at

    def copyables(self) -> list[Copyable]:
        from explorer.ui.copyable_files import comparison_parts

        return [*super().copyables(), *comparison_parts(self._compared.named)]

    # Actions.

    def action_move(self, steps: int) -> None:
        self._go(self._cursor + steps)

    def action_row(self, rows: int) -> None:
        self.query_one(ComparedFigures).move(rows)

    def action_side(self) -> None:
        self._side = 1 - self._side
        self.show()

    def action_divergence(self) -> None:
        self._go(self.diverges_at or self._cursor)

    def action_scale(self) -> None:
        self.log_scale = not self.log_scale
        self.show()

    def action_leave(self) -> None:
        if self.zoomed:
            self.close_zoom()
        else:
            self.app.pop_screen()

    @on(StepPointed)
    def point(self, message: StepPointed) -> None:
        message.stop()
        self._go(message.step)

    def _go(self, step: int) -> None:
        self._cursor = max(1, min(step, self._longest))
        self.show()
