"""Heat strips: a row a layer, the attentions left and the MLPs right, a cell a step; the cursor's column is marked.

All layers are visible: if there are more than rows, a row shows the largest figure of several neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size

from explorer.state.heat import HEAT_BOUNDS, Heat, HeatColumns, HeatRows, HeatSpace, shared_out
from explorer.state.view import View
from explorer.ui.messages import SublayerPointed
from explorer.ui.widgets.line_widget import LineWidget, Piece, Pieces, joined
from explorer.ui.widgets.named_figures import TITLE, NamedFigures, Names
from explorer.words import numbers
from explorer.words.token_text import wrapped
from probes.schema.counting import number_of
from probes.schema.part import Part

LEAST_LABEL = 5
"""Cells of a layer's number and the space after it."""
BARS = "▁▂▃▄▅▆▇█"
"""One for each level, so that a cell can be read without colours."""
TO_COME = "·"
"""In place of a figure that is not computed yet."""
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
        self._layers: list[Sequence[int]] = []
        """The layers of each row."""
        self._empty = ""
        self._coming = range(0)

    def show(self, view: View, heat: Heat, chosen: Part | None, empty: str, coming: range) -> None:
        """`empty` is the sentence for when nothing has been measured; `coming` are the steps that will be, if they
        are not yet."""
        look = (view.run, view.generation, view.found, view.cursor, view.newest, view.span, heat, chosen, empty, coming)
        if look == self._look:
            return
        self._look, self._view, self._heat, self._chosen, self._empty = look, view, heat, chosen, empty
        self._coming = coming
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        view = self._view
        if view is None or size.width < LEAST_LABEL + 8 or not size.height:
            return []
        rows = self._rows = self._columns.rows(view, self._cells(size.width))
        self._layers = shared_out(rows.layers, max(1, size.height - 1))
        if not rows.layers:
            self._frame(view, rows)
            return [[(f" {part}", self.palette.muted)] for part in wrapped(self._empty, size.width - 2)]
        cells = self._cells(size.width)
        rows = self._rows = self._columns.rows(view, cells)
        self._frame(view, rows)
        lines = [self._head(view, rows, cells)]
        for layers in self._layers:
            line: Pieces = [(f"{_name(layers):>{self._label - 1}} ", self._label_style(layers))]
            for kind in rows.sublayers:
                line += self._strip_of(kind, layers, rows, cells, view)
            lines.append(joined(line))
        return lines

    @property
    def _label(self) -> int:
        """Cells of the layers' numbers and the space after them."""
        return max([LEAST_LABEL, *(len(_name(layers)) + 1 for layers in self._layers)])

    def _cells(self, width: int) -> int:
        """Cells of one strip. Beside it are the mark of the lens left and a space right."""
        kinds = len(self._rows.sublayers) if self._rows is not None and self._rows.sublayers else 2
        return max(2, (width - self._label) // kinds - 2)

    def _label_style(self, layers: Sequence[int]) -> Style:
        return self.palette.strong if self._chosen is not None and self._chosen.layer in layers else self.palette.muted

    def _head(self, view: View, rows: HeatRows, cells: int) -> Pieces:
        """The names of the strips, and the cursor above its column."""
        line: list[Piece] = [(" " * self._label, None)]
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

    def _strip_of(self, kind: str, layers: Sequence[int], rows: HeatRows, cells: int, view: View) -> Pieces:
        values = [value for value, _ in rows.largest(kind, layers, self._heat)]
        cursor = view.cursor - rows.first
        parting, chosen = (
            part is not None and part.kind == kind and part.layer in layers for part in (rows.parting, self._chosen)
        )
        line: list[Piece] = [("┆" if parting else "▸" if chosen else " ", self.palette.split)]
        for at in range(cells):
            measured = at < len(values) and rows.columns[at] is not None
            to_come = at < len(rows.columns) and rows.first + at in self._coming
            missing = (TO_COME, self.palette.faint) if to_come else (" ", None)
            character, style = self._cell(values[at]) if measured else missing
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
        layers = "layers, largest in row" if len(self._layers) < len(rows.layers) else "layers"
        title = f"{layers} · {self._heat.of} {self._heat.space}"
        last = min(view.newest, rows.first + self._cells(self.size.width) - 1)
        steps = f" · steps {rows.first}–{last}" if view.newest and self.size.width > 44 else ""
        lens = "  ┆ lenses part" if rows.parting is not None and self.size.width > 40 else ""
        if to_come := sum(
            column is None and step in self._coming for step, column in enumerate(rows.columns, rows.first)
        ):
            lens = f"  {TO_COME} {number_of(to_come, 'step')} to come"
        room = self.size.width - 2 - cell_len(title)
        if not self.has_foot:
            room -= legend.cell_len + 2
        if cell_len(steps) <= room:
            title += steps
            room -= 0 if self.has_foot else cell_len(steps)
        if self.has_foot or cell_len(lens) <= room:
            legend.append(lens)
        if self.has_foot:
            self.entitle(Text(title), legend)
        else:
            self.entitle(Text(f"{title}  ").append(legend), Text(""))

    # The mouse.

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self)
        rows, view = self._rows, self._view
        if inside is None or rows is None or view is None or not rows.layers:
            return
        cells = self._cells(self.size.width)
        strip, at = divmod(inside.x - self._label, cells + 2)
        if not 1 <= inside.y <= len(self._layers) or not 0 <= strip < len(rows.sublayers):
            return
        layers = self._layers[inside.y - 1]
        step = rows.first + at - 1
        if not (1 <= step <= view.newest and at >= 1):
            self.post_message(SublayerPointed(Part(rows.sublayers[strip], layers[0])))
            return
        _, part = rows.largest(rows.sublayers[strip], layers, self._heat)[at - 1]
        self.post_message(SublayerPointed(part, step))


def _name(layers: Sequence[int]) -> str:
    return f"{layers[0]}" if len(layers) == 1 else f"{layers[0]}–{layers[-1]}"
