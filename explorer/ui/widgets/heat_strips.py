"""Heat strips: a row a layer, the attentions left and the MLPs right, a cell a step; the cursor's column is marked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size

from explorer.state.heat import HEAT_BOUNDS, Heat, HeatColumns, HeatRows, HeatSpace, scrolled_top
from explorer.state.view import View
from explorer.ui.messages import SublayerPointed
from explorer.ui.widgets.line_widget import LineWidget, Piece, Pieces, joined
from explorer.ui.widgets.named_figures import TITLE, NamedFigures, Names
from explorer.words import numbers
from explorer.words.token_text import wrapped
from probes.schema.part import Part

LAYER_LABEL = 5
BARS = "▁▂▃▄▅▆▇█"
"""One for each level, so that a cell can be read without colours."""
FLAT = Style(underline=False, bold=False)


class HeatStrips(NamedFigures, LineWidget, can_focus=True):
    """Draws the strips around the cursor."""

    FIGURE_NAMES: ClassVar[Names] = {
        **{"accumulated": "explain.accumulated", "same input": "explain.same_input"},
        **{"1 − cos h": "h.gap", "1 − cos z": "z.cos_centred", "KL": "p.kl"},
    }

    def names_in(self, line: int) -> Names:
        return self.FIGURE_NAMES if line == TITLE else {}

    def __init__(self) -> None:
        super().__init__(id="heat", classes="panel")
        self._view: View | None = None
        self._heat = Heat()
        self._chosen: Part | None = None
        self._look: object = None
        self._columns = HeatColumns()
        self._rows: HeatRows | None = None
        self._top = 0
        self._empty = ""

    def show(self, view: View, heat: Heat, chosen: Part | None, empty: str) -> None:
        """`empty` is the sentence for when nothing has been measured."""
        look = (view.run, view.generation, view.found, view.cursor, view.newest, view.span, heat, chosen, empty)
        if look == self._look:
            return
        self._look, self._view, self._heat, self._chosen, self._empty = look, view, heat, chosen, empty
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        view = self._view
        if view is None or size.width < LAYER_LABEL + 8 or not size.height:
            return []
        cells = self._cells(size.width)
        rows = self._rows = self._columns.rows(view, cells)
        if not rows.layers:
            self._frame(view, rows)
            return [[(f" {part}", self.palette.muted)] for part in wrapped(self._empty, size.width - 2)]
        chosen = rows.layers.index(self._chosen.layer) if self._chosen and self._chosen.layer in rows.layers else None
        room = max(1, size.height - 1)
        self._top = scrolled_top(self._top, chosen, len(rows.layers), room)
        self._frame(view, rows)
        lines = [self._head(view, rows, cells)]
        shown = rows.layers[self._top : self._top + room]
        for layer in shown:
            more = "↑" if layer == shown[0] != rows.layers[0] else "↓" if layer == shown[-1] != rows.layers[-1] else ""
            line: Pieces = [(f"{more}{layer:>{LAYER_LABEL - 1 - len(more)}} ", self._label_style(layer))]
            for kind in rows.sublayers:
                line += self._strip_of(Part(kind, layer), rows, cells, view)
            lines.append(joined(line))
        return lines

    def _cells(self, width: int) -> int:
        """Cells of one strip. Beside it are the mark of the lens left and a space right."""
        kinds = len(self._rows.sublayers) if self._rows is not None and self._rows.sublayers else 2
        return max(2, (width - LAYER_LABEL) // kinds - 2)

    def _label_style(self, layer: int) -> Style:
        return self.palette.strong if self._chosen is not None and layer == self._chosen.layer else self.palette.muted

    def _head(self, view: View, rows: HeatRows, cells: int) -> Pieces:
        """The names of the strips, and the cursor above its column."""
        line: list[Piece] = [(" " * LAYER_LABEL, None)]
        cursor = view.cursor - rows.first
        for kind in rows.sublayers:
            name = list(kind.ljust(cells))
            if cursor < len(kind) + 1:
                name = list(" " * (cursor + 2 + len(str(view.cursor))) + kind)[:cells]
                name += " " * (cells - len(name))
            pieces: list[Piece] = [(character, self.palette.muted) for character in name]
            for step, mark in zip(view.span or (), "[]", strict=False):
                if 0 <= step - rows.first < cells:
                    pieces[step - rows.first] = (mark, self.palette.own)
            number = str(view.cursor)
            at = cursor + 1 if cursor + 1 + len(number) <= cells else cursor - len(number)
            if at >= 0:
                pieces[at : at + len(number)] = [(digit, self.palette.strong) for digit in number]
            pieces[cursor] = ("▼", self.palette.strong)
            line += [(" ", None), *pieces, (" ", None)]
        return joined(line)

    def _strip_of(self, part: Part, rows: HeatRows, cells: int, view: View) -> Pieces:
        values = rows.values(part, self._heat)
        cursor = view.cursor - rows.first
        parting = part == rows.parting
        line: list[Piece] = [("┆" if parting else "▸" if part == self._chosen else " ", self.palette.split)]
        for at in range(cells):
            measured = at < len(values) and rows.columns[at] is not None
            character, style = self._cell(values[at]) if measured else (" ", None)
            if at == cursor:
                style = (style or Style()) + self.palette.column
            line.append((character, style))
        return [*line, (" ", None)]

    def _cell(self, value: float | None) -> Piece:
        if value is None:
            return numbers.NONE, self.palette.muted
        found = self._heat.level(value)
        if found is None or value == float("inf"):
            return "?" if found is None else "∞", self.palette.odd
        return BARS[found], self.palette.ramp[found] + FLAT

    def _frame(self, view: View, rows: HeatRows) -> None:
        """The frame names what is drawn and gives the scale."""
        bounds = HEAT_BOUNDS[self._heat.space]
        legend = Text(f"<{numbers.plain(bounds[0])} ")
        for bar, style in zip(BARS, self.palette.ramp, strict=True):
            legend.append(bar, style + FLAT)
        legend.append(f" >{numbers.plain(bounds[-1])}{' nat' if self._heat.space is HeatSpace.P else ''}")
        if rows.parting is not None and self.size.width > 40:
            legend.append("  ┆ lenses part")
        last = min(view.newest, rows.first + self._cells(self.size.width) - 1)
        steps = f" · steps {rows.first}–{last}" if view.newest and self.size.width > 44 else ""
        title = Text(f"layers{self._shown_of(rows)} · {self._heat.of} {self._heat.space}{steps}")
        if title.cell_len + (0 if self.has_foot else legend.cell_len + 2) > self.size.width - 2:
            title = Text(f"layers{self._shown_of(rows)} · {self._heat.of} {self._heat.space}")
        self.entitle(title if self.has_foot else title.append("  ").append(legend), legend)

    def _shown_of(self, rows: HeatRows) -> str:
        """Which layers are visible, of how many; "" if all are. ↑ and ↓ choose further ones."""
        room = max(1, self.size.height - 1)
        if len(rows.layers) <= room:
            return ""
        shown = rows.layers[self._top : self._top + room]
        return f" {shown[0]}–{shown[-1]} of {len(rows.layers)}"

    # The mouse.

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self)
        rows, view = self._rows, self._view
        if inside is None or rows is None or view is None or not rows.layers:
            return
        row = self._top + inside.y - 1
        cells = self._cells(self.size.width)
        strip, at = divmod(inside.x - LAYER_LABEL, cells + 2)
        if inside.y < 1 or row >= len(rows.layers) or not 0 <= strip < len(rows.sublayers):
            return
        step = rows.first + at - 1
        part = Part(rows.sublayers[strip], rows.layers[row])
        self.post_message(SublayerPointed(part, step if 1 <= step <= view.newest and at >= 1 else None))
