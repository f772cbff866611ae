"""Recordings of one prompt side by side: texts token under token, charts over each other, figures with differences."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from explorer.recordings.comparison import RunComparison
from explorer.state.axis import Axis
from explorer.state.columns import Columns
from explorer.ui.messages import StepPointed
from explorer.ui.screens.page import Page, too_small
from explorer.ui.theme import palette
from explorer.ui.widgets.chart import Chart, ChartLine, Picture
from explorer.ui.widgets.comparison import DASHES, ENTRIES, ROLES, SIGNS, ComparedFigures, ComparedTexts, style_of
from explorer.ui.widgets.key_line import KeyHint, KeyLine
from explorer.ui.widgets.line_widget import FramedWidget
from explorer.ui.widgets.space_panel import scale_of
from explorer.words.token_text import flowing

CHARTS = (
    ("h.cos", "cosine", "cosine of h ↑"),
    ("z.cos_centred", "cosine", "centred cosine of z ↑"),
    ("p.kl", "divergence", "KL in nats ↓"),
    ("sum.kl", "above", "ΣKL in nats ↓"),
)
"""Figure, kind of scale, title."""


class ComparedChart(FramedWidget, can_focus=True):
    """One figure of every recording over the same steps, on the shared context."""

    def __init__(self, key: str, scale: str, title: str) -> None:
        super().__init__(id=key.replace(".", "-"), classes="panel chart-panel")
        self._key, self._scale, self._title = key, scale, title

    def compose(self) -> ComposeResult:
        yield Chart()

    def show(self, columns: list[Columns], axis: Axis, cursor: int, log: bool) -> None:
        lines = tuple(
            ChartLine(one.get(self._key), ROLES[place % ENTRIES], DASHES[place % ENTRIES])
            for place, one in enumerate(columns)
        )
        lowest = min(line.column.lowest for line in lines)
        highest = max(line.column.highest for line in lines)
        scale = scale_of(self._scale, lowest, highest, log)
        self.entitle(Text(self._title), Text(f"steps {axis.first}–{min(axis.last, max(map(len, columns)))}"))
        self.query_one(Chart).show(Picture(lines, axis, scale, axis.count, cursor, falls=self._scale == "cosine"))


class ComparisonScreen(Page):
    """The view of a comparison; the cursor is shared by texts and charts."""

    HOME = "#figures"
    AUTO_FOCUS = "#figures"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", show=False),
        Binding("right", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
        Binding("up", "row(-1)", show=False),
        Binding("down", "row(1)", show=False),
        Binding("c", "side", show=False),
        Binding("g", "parting", show=False),
        Binding("l", "scale", show=False),
        Binding("z", "zoom", show=False),
        Binding("y", "copy", show=False),
        Binding("t", "app.next_theme", show=False),
        Binding("escape", "leave", show=False),
        Binding("q", "app.quit", show=False),
    ]

    def __init__(self, compared: RunComparison) -> None:
        super().__init__()
        self._compared = compared
        self._columns = [Columns(entry.records) for entry in compared.entries]
        self._longest = max(len(entry.records) for entry in compared.entries)
        self._cursor = 1
        self._side = 1
        self._log = True

    def compose(self) -> ComposeResult:
        yield Static(self._title(), id="title", markup=False)
        with Vertical(id="body"):
            if self._compared.warnings:
                yield Static("\n".join(self._compared.warnings), id="warnings", markup=False)
            with Horizontal(id="compared-top"):
                yield ComparedTexts()
            with Horizontal(id="compared-charts"):
                for key, scale, title in CHARTS:
                    yield ComparedChart(key, scale, title)
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
            notes.append(f"More than {ENTRIES} recordings share the looks of their lines.")
        known = [entry.header.settings.prompt for entry in self._compared.entries if not entry.run.headless]
        return [*notes, *(f"Prompt: {flowing(' '.join(prompt.split()))}" for prompt in known[:1])]

    def show(self) -> None:
        axis = Axis.of(self._longest)
        self.query_one(ComparedTexts).show(self._compared, self._cursor, self._side)
        self.query_one(ComparedFigures).show(self._compared)
        for chart in self.query(ComparedChart):
            chart.show(self._columns, axis, self._cursor, self._log)
        other = self._compared.texts[1 - self._side].side
        self.query_one(KeyLine).show(
            [
                KeyHint("← →", "cursor", ""),
                KeyHint("↑ ↓", "figures", ""),
                KeyHint("c", f"{other} text", "side"),
                KeyHint("g", "where they part", "parting", self._compared.texts[self._side].parts_at is not None),
                KeyHint("l", "linear" if self._log else "log", "scale"),
                KeyHint("z", "zoom", "zoom"),
                KeyHint("y", "copy", "copy"),
                KeyHint("Esc", "back", "leave"),
                KeyHint("q", "quit", "app.quit"),
            ]
        )

    # What can be done.

    def action_move(self, steps: int) -> None:
        self._go(self._cursor + steps)

    def action_row(self, rows: int) -> None:
        self.query_one(ComparedFigures).move(rows)

    def action_side(self) -> None:
        self._side = 1 - self._side
        self.show()

    def action_parting(self) -> None:
        self._go(self._compared.texts[self._side].parts_at or self._cursor)

    def action_scale(self) -> None:
        self._log = not self._log
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
