"""Rows of figures: one row a figure, with the shared and the own value side by side if they differ."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.geometry import Size
from textual.message import Message

from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.words.token_text import fit

TOKENS = "tok"
VALUE = 8
"""Cells for a value and the space before it."""


class FigureRow(NamedTuple):
    """One figure of a panel. Three dozen are made and compared a step: a tuple takes a third of a dataclass's time."""

    label: str
    arrow: str
    shared: str = ""
    """On the shared context; empty if the figure is of the two texts as they are."""
    own: str = ""
    """With each model on its own context; empty if there is no such figure, or no second context."""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class PanelFigures:
    """All rows of a panel, in the order of their weight."""

    name: str
    """The word at the beginning of a single line: "embedding"."""
    rows: tuple[FigureRow, ...]
    diverged: bool
    """True shows two columns."""


class FigureNamed(Message):
    """The name of the figure in this row was clicked."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place


class FigureRows(LineWidget):
    """As many rows as there is room for; a single line on a small screen."""

    ALLOW_SELECT = True

    DEFAULT_CSS = "FigureRows { height: auto; }"

    figures: PanelFigures | None = None
    _begins: Sequence[int] = ()
    """The cells at which the figures of a single line begin."""

    def show(self, figures: PanelFigures) -> None:
        if figures != self.figures:
            self.figures = figures
            self.redraw()

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self) if self.text_selection is None else None
        if inside is None or self.figures is None:
            return
        if self.size.height == 1:
            place = bisect_right(self._begins, inside.x) - 1
        else:
            label = _label_width(self.size.width, self.figures.diverged)
            place = inside.y - self.figures.diverged if inside.x < label else -1
        if 0 <= place < len(self.figures.rows):
            self.post_message(FigureNamed(place))

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width, height = size
        if self.figures is None:
            return []
        if height == 1:
            return [self._single(self.figures, width)]
        return self._table(self.figures, width)[:height]

    def _table(self, figures: PanelFigures, width: int) -> list[list[Piece]]:
        palette = self.palette
        label = _label_width(width, figures.diverged)
        lines: list[list[Piece]] = []
        if figures.diverged:
            head: list[Piece] = [(" " * (label - 1), None)]
            head += [("shared ━".rjust(VALUE), palette.shared), ("own ┅ ".rjust(VALUE + 1), palette.own)]
            lines.append(head)
        for row in figures.rows:
            first = row.shared if figures.diverged else row.shared or row.own
            value = VALUE - 1 if figures.diverged else VALUE
            named = _named(row.label, row.arrow, row.unit if figures.diverged else "", label + value, len(first))
            line: list[Piece] = [(named, palette.muted)]
            if figures.diverged:
                line += [(first, palette.shared), (f"{row.own:>{VALUE - 1}} ".rjust(VALUE + 1), palette.own)]
            else:
                line += [(first, palette.strong), (f" {row.unit}"[:4], palette.muted)]
            lines.append(line)
        return lines

    def _single(self, figures: PanelFigures, width: int) -> list[Piece]:
        """The headline figures in one line, as many as fit."""
        palette = self.palette
        line: list[Piece] = [(f" {figures.name:<12}", palette.strong if self._focused else palette.muted)]
        used = 13
        begins: list[int] = []
        self._begins = begins
        for place, row in enumerate(figures.rows):
            parts: list[Piece] = [(f"{row.label} {row.arrow} ".replace("  ", " "), palette.muted)]
            if figures.diverged and row.shared and row.own:
                parts += [(f"{row.shared} shared ", palette.shared), (f"{row.own} own", palette.own)]
            else:
                parts.append((row.shared or row.own, palette.strong))
            size = sum(cell_len(text) for text, _ in parts) + 2
            if used + size > width and place:
                break
            begins.append(used)
            line += [*parts, ("  ", None)]
            used += size
        return line

    @property
    def _focused(self) -> bool:
        return self.parent is not None and getattr(self.parent, "has_focus", False)


def _label_width(width: int, diverged: bool) -> int:
    """The cells of the words before the values, whose last one is free before the frame."""
    return max(8, width - (2 * VALUE if diverged else VALUE + 4))


@lru_cache(maxsize=1024)
def _named(label: str, arrow: str, unit: str, width: int, value: int) -> str:
    """The words before a figure of `value` cells, `width` with it: label, arrow, and the unit if there is room."""
    room = width - value - 1
    text = f"{label} {arrow}"
    if unit and len(text) + len(unit) + VALUE < width:
        text += f" {unit}"
    elif unit == TOKENS:
        text = f"{label} {unit}"  # a number of tokens says little without its unit
    if len(text) > room:
        text = label
    return fit(text, room).ljust(width - value)
