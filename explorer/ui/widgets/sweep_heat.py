"""The heat map of a sweep: a row a setting, a column a task, and in each cell its figure and its sign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.message import Message

from explorer.state.heat import scrolled_top
from explorer.state.sweep_grid import CellState, GridCell, SweepGrid
from explorer.state.sweep_look import SweepLook
from explorer.ui.widgets.heat_strips import BARS
from explorer.ui.widgets.line_widget import LineWidget, Piece, Pieces, joined
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.words import numbers
from explorer.words.sweeps import KNEE, family_text
from explorer.words.token_text import fit, flowing, wrapped
from explorer.words.verdict_figures import OUTCOME_SIGNS
from probes.schema.verdict import Outcome

LEAST_CELL, WIDEST_CELL = 9, 18
"""Characters of a cell with the space beside it."""
_LABEL, _REMOVED = 22, 9
"""Characters of the widest label, and of the column of parameters removed."""
_HEAD = 2
"""Lines above the rows."""
_RISKY = 6
"""The level on whose ground broken cells are."""


class CellPointed(Message):
    """A cell was clicked; twice opens it."""

    def __init__(self, row: int, column: int, *, opened: bool = False) -> None:
        super().__init__()
        self.row, self.column, self.opened = row, column, opened


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the columns are."""

    label: int
    removed: int
    cell: int
    first: int
    """The first column that is shown."""
    count: int

    def column(self, x: int) -> int | None:
        """The column at a place of a line."""
        place, inside = divmod(x - self.label - self.removed, self.cell)
        return self.first + place if 0 <= place < self.count and inside < self.cell - 1 else None


class SweepHeat(NamedFigures, LineWidget, can_focus=True):
    """Draws the cells around the cursor."""

    FIGURE_NAMES: ClassVar[Names] = {
        **{"verdict": "task.outcome", "difference": "task.difference", "score": "task.score"},
        **{"agreement": "task.agreement", "lost in h": "task.h", "lost in z": "task.z", "lost in p": "task.p"},
        **{"KL": "task.kl", "survival": "survival", "first split": "first_split", "removed": "cell.removed"},
        **{"parameters removed": "cell.removed", "seconds": "cell.seconds", "◆": "cell.knee"},
    }

    def names_in(self, line: int) -> Names:
        return self.FIGURE_NAMES if line < _HEAD else {}

    def __init__(self) -> None:
        super().__init__(id="sweep-heat", classes="panel")
        self._grid: SweepGrid | None = None
        self._look = SweepLook()
        self._why_empty = ""
        self._top = self._left = 0
        self._drawn_cells: dict[tuple[int, int], tuple[str, Style]] = {}
        """The cells that were drawn, so that moving the cursor draws none again."""
        self._drawn_cells_for: object = None
        """The sweep, figure, width and colours of these."""
        self._entries: list[int | str] = []
        """The rows as they are drawn: a setting's place, or the name of a family above its settings."""
        self._layout = _Layout(0, 0, LEAST_CELL, 0, 0)

    def show(self, grid: SweepGrid | None, look: SweepLook, why_empty: str) -> None:
        """`why_empty` is the sentence in place of cells."""
        if (grid, look, why_empty) == (self._grid, self._look, self._why_empty):
            return
        if grid is not self._grid and grid is not None:
            self._entries = _entries(grid)
        self._grid, self._look, self._why_empty = grid, look, why_empty
        self.redraw()

    @property
    def wanted(self) -> int:
        """Lines in which every row can be seen."""
        return len(self._entries) + _HEAD

    def draw(self, size: Size) -> Iterable[Pieces]:
        grid, palette = self._grid, self.palette
        if grid is None or not grid.settings:
            self.entitle(Text("settings × tasks"), Text(""))
            return [[(f" {line}", palette.muted)] for line in wrapped(self.with_keys(self._why_empty), size.width - 2)]
        row, column = self._look.row(grid), self._look.column(grid)
        layout = self._layout = self._laid_out(grid, column, size.width)
        drawn_for = grid, self._look.figure, layout.cell, palette
        if drawn_for != self._drawn_cells_for:
            self._drawn_cells_for = drawn_for
            self._drawn_cells.clear()
        room = max(1, size.height - _HEAD)
        chosen = self._entries.index(row)
        above = chosen - 1 if chosen and isinstance(self._entries[chosen - 1], str) else chosen
        self._top = scrolled_top(
            scrolled_top(self._top, chosen, len(self._entries), room), above, len(self._entries), room
        )
        self._frame(grid, layout, room)
        lines = self._head(grid, layout)
        for entry in self._entries[self._top : self._top + room]:
            lines.append(
                [(f" {family_text(entry)}", palette.muted)]
                if isinstance(entry, str)
                else self._row(grid, layout, entry)
            )
        return lines

    def _laid_out(self, grid: SweepGrid, column: int, width: int) -> _Layout:
        label = min(_LABEL if width >= 70 else 16, max(len(flowing(one)) for one in grid.settings) + 2)
        removed = _REMOVED if width - label - _REMOVED >= 2 * LEAST_CELL else 0
        room = max(LEAST_CELL, width - label - removed)
        cell = max(LEAST_CELL, min(WIDEST_CELL, room // len(grid.tasks)))
        count = max(1, min(len(grid.tasks), room // cell))
        self._left = scrolled_top(self._left, column, len(grid.tasks), count)
        return _Layout(label, removed, cell, self._left, count)

    def _columns(self, layout: _Layout) -> range:
        return range(layout.first, layout.first + layout.count)

    def _head(self, grid: SweepGrid, layout: _Layout) -> list[Pieces]:
        """The names of the columns, and the unit of the figure in each."""
        palette, column = self.palette, self._look.column(grid)
        names: Pieces = [(" " * layout.label, None)]
        units: Pieces = [(" " * layout.label, None)]
        if layout.removed:
            names.append((f"{'removed':>{layout.removed - 1}} ", palette.muted))
            units.append((f"{'%':>{layout.removed - 1}} ", palette.faint))
        for place in self._columns(layout):
            figure = self._look.figure.of(prompt=grid.is_prompt(place))
            style = palette.strong if place == column else palette.text
            names.append((f"{fit(flowing(grid.tasks[place]), layout.cell - 1).rstrip():^{layout.cell - 1}} ", style))
            units.append((f"{figure.unit if figure is not None else '':^{layout.cell - 1}} ", palette.muted))
        return [names, units]

    def _row(self, grid: SweepGrid, layout: _Layout, row: int) -> Pieces:
        palette, chosen = self.palette, row == self._look.row(grid)
        style = palette.strong if chosen else palette.text
        setting = grid.settings[row]
        line: list[Piece] = [("▸" if chosen else " ", palette.strong), (fit(flowing(setting), layout.label - 1), style)]
        if layout.removed:
            share = grid.removed.get(setting)
            text = numbers.NONE if share is None else f"{100 * share:.1f}"
            line.append((f"{text:>{layout.removed - 1}} ", palette.muted))
        for column in self._columns(layout):
            cursor = chosen and column == self._look.column(grid)
            drawn = self._drawn_cells.get((row, column))
            if drawn is None:
                drawn = self._drawn_cells[row, column] = self._cell(grid, row, column, layout.cell - 1)
            text, look = drawn
            line += [(f"[{text[1:-1]}]", palette.cursor) if cursor else (text, look), (" ", None)]
        return joined(line)

    def _cell(self, grid: SweepGrid, row: int, column: int, width: int) -> tuple[str, Style]:
        """The text of a cell and how it is drawn. Its first and its last character are free for the cursor."""
        palette, cell = self.palette, grid.at(row, column)
        if cell is None:
            return " " * width, palette.faint
        if cell.state is not CellState.DONE:
            word, style = {
                CellState.FAILED: ("! failed", palette.odd),
                CellState.RUNNING: ("▷ running", palette.text),
                CellState.WAITING: ("·", palette.faint),
            }[cell.state]
            return f"{fit(word, width - 2).rstrip():^{width}}", style
        knee = KNEE if grid.is_knee(row, column) else " "
        sign, text, style = self._figure(grid, cell, column)
        inner = f"{sign} {text:>{max(1, width - 6)}}"
        return f" {fit(inner, width - 3)}{knee} ", style

    def _figure(self, grid: SweepGrid, cell: GridCell, column: int) -> tuple[str, str, Style]:
        """The sign of a cell, its figure, and how it is drawn."""
        palette, figure = self.palette, self._look.figure.of(prompt=grid.is_prompt(column))
        value = cell.mean(figure.of) if figure is not None else None
        if figure is None or value is None:
            return " ", numbers.NONE, palette.muted
        text = figure.text(value)
        if self._look.figure.by_outcome and cell.outcome is not None:
            return OUTCOME_SIGNS[cell.outcome], text, self._of_outcome(cell.outcome)
        far = cell.mean(figure.far)
        level = figure.level(far) if far is not None else None
        return (" ", text, palette.odd) if level is None else (BARS[level], text, palette.heat[level])

    def _of_outcome(self, outcome: Outcome) -> Style:
        palette = self.palette
        return {Outcome.SAFE: palette.heat[0], Outcome.BROKEN: palette.heat[_RISKY]}.get(outcome, palette.open_cell)

    def _frame(self, grid: SweepGrid, layout: _Layout, room: int) -> None:
        parts = [self._look.figure.name]
        if room < len(self._entries):
            parts.append(f"rows {self._top + 1}–{self._top + room} of {len(self._entries)}")
        if layout.count < len(grid.tasks):
            parts.append(f"tasks {layout.first + 1}–{layout.first + layout.count} of {len(grid.tasks)}")
        legend = Text()
        if self._look.figure.by_outcome:
            for outcome, sign in OUTCOME_SIGNS.items():
                legend.append(f" {sign} {outcome.value} ", self._of_outcome(outcome))
                legend.append(" ")
        else:
            legend.append("alike ")
            for bar, style in zip(BARS, self.palette.heat, strict=True):
                legend.append(f" {bar}", style)
            legend.append(" unlike ")
        legend.append(f"{KNEE} knee")
        self.entitle(Text(f"settings × tasks · {' · '.join(parts)}"), legend)

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self)
        if inside is None or self._grid is None or inside.y < _HEAD:
            return
        place, column = self._top + inside.y - _HEAD, self._layout.column(inside.x)
        entry = self._entries[place] if place < len(self._entries) else ""
        if isinstance(entry, int) and column is not None:
            self.post_message(CellPointed(entry, column, opened=event.chain == 2))


def _entries(grid: SweepGrid) -> list[int | str]:
    """The rows, with a heading above each family if there are several."""
    found: list[int | str] = []
    for row in range(len(grid.settings)):
        if len(grid.by_family) > 1 and (not row or grid.family(row) != grid.family(row - 1)):
            found.append(grid.family(row))
        found.append(row)
    return found
