"""A chart over steps: braille lines, a gutter with the bounds, the cursor's column and the split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.style import Style
from textual import events
from textual.geometry import Size

from explorer.state.axis import Axis
from explorer.state.columns import Column
from explorer.ui.messages import StepPointed
from explorer.ui.widgets.braille import SOLID, Dash, DotCell, Log, Scale, bars, dot_rows, lines
from explorer.ui.widgets.line_widget import LineWidget, Piece, joined
from explorer.words import numbers

FLOOR = "┈"
"""Drawn in empty cells at the height of the noise floor."""
GUTTER = 5
"""Cells left of the chart for the bounds. The same in every chart, so that equal steps are above each other."""


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One series of a chart."""

    column: Column
    role: str
    """Which style of the palette: "shared", "own", "dense", "pruned", "muted"."""
    dash: Dash = SOLID
    """Tells series apart without colours."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a chart shows. An equal picture is not drawn again."""

    lines: tuple[ChartLine, ...]
    axis: Axis
    scale: Scale
    steps: int
    """How many steps there are, so that a picture of more steps is another one."""
    cursor: int = 0
    split: int | None = None
    falls: bool = False
    """True if lower is worse: a chart of one row then shows the smallest values, else the largest."""
    caption: str = ""
    floor: float | None = None
    """The value of the noise floor, drawn in empty cells; None if it was not measured."""


class Chart(LineWidget):
    """Draws a picture at any size. If it is one row high, it is a sparkline of blocks."""

    DEFAULT_CSS = "Chart { height: 1fr; }"
    can_focus = False

    picture: Picture | None = None

    _look: object = None

    def show(self, picture: Picture) -> None:
        if picture != self.picture:
            self.picture = picture
            look = self._looks(picture)
            if look is None or look != self._look:
                self._look = look
                self.redraw()

    def _looks(self, picture: Picture) -> object:
        """A key of a long path's picture. Pictures that look the same, as mostly after one more step, have equal keys.

        None for a short path."""
        width, height = self.inside
        cells = width - 1 if height == 1 else width - GUTTER
        dots = cells if height == 1 else 2 * cells
        if cells < 1 or picture.axis.count <= dots:
            return None
        high = 4 * (height - bool(picture.caption))
        series = []
        for line in picture.lines:
            column = line.column
            shape = (
                column.buckets(picture.axis, dots).copy()
                if height == 1
                else dot_rows(column, picture.axis, picture.scale, dots, high)
            )
            series.append((column, line.role, line.dash, shape, len(column.odd)))
        cursor = picture.axis.cell(picture.cursor, cells) if picture.cursor else -1
        others = picture.axis, picture.scale, picture.split, picture.falls, picture.caption, picture.floor
        return self.inside, others, series, cursor

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width, height = size
        picture = self.picture
        if picture is None or width <= GUTTER + 2 or height < 1:
            return []
        if height == 1:
            row = bars(picture.lines[0].column, picture.axis, picture.scale, width - 1, lowest=picture.falls)
            return [[(" ", None), *self._row(picture, row, width - 1)]]
        rows: list[list[Piece]] = []
        if picture.caption:
            rows.append([(" " * GUTTER, None), (picture.caption, self.palette.muted)])
            height -= 1
        cells = lines(
            [line.column for line in picture.lines],
            [line.dash for line in picture.lines],
            picture.axis,
            picture.scale,
            width - GUTTER,
            height,
        )
        floor = floor_row(picture, height)
        for y, row in enumerate(cells):
            rows.append([(self._label(picture.scale, y, height), self.palette.muted)])
            rows[-1] += self._row(picture, row, width - GUTTER, floor=y == floor)
        return rows

    def _label(self, scale: Scale, y: int, height: int) -> str:
        """The bound at the top and the bottom, and the middle of a tall chart."""
        if y == 0:
            text = numbers.plain(scale.high)
        elif y == height - 1:
            text = numbers.plain(scale.low)
        elif height >= 7 and height % 2 and y == height // 2:
            middle = (scale.low * scale.high) ** 0.5 if isinstance(scale, Log) else (scale.low + scale.high) / 2
            text = numbers.significant(middle, 2)
        else:
            text = ""
        return f"{text[: GUTTER - 1]:>{GUTTER - 1}} "

    def _row(self, picture: Picture, row: Sequence[DotCell], width: int, *, floor: bool = False) -> list[Piece]:
        """The cells of a row as pieces. Cursor, split and noise floor are drawn in empty cells."""
        single = self.inside.height == 1
        styles = [self.palette.spark if single else getattr(self.palette, line.role) for line in picture.lines]
        cursor = picture.axis.cell(picture.cursor, width) if picture.cursor else -1
        split = picture.axis.cell(picture.split, width) if picture.split and picture.axis.has(picture.split) else -1
        marked: list[tuple[str, Style | None]] = []
        for x, (character, series) in enumerate(row):
            style = styles[series] if series >= 0 else None
            if character in "∞?":
                style = self.palette.odd
            if series < 0 and x == split:
                character, style = "┆", self.palette.split
            elif series < 0 and x == cursor:
                character, style = "│", self.palette.muted
            elif series < 0 and floor:
                character, style = FLOOR, self.palette.faint
            if x == cursor:
                style = (style or Style()) + self.palette.column
            marked.append((character, style))
        return joined(marked)

    # The mouse.

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._point(event.x)
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self:
            self._point(event.x)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def _point(self, x: int) -> None:
        if self.picture is None:
            return
        gutter = 1 if self.size.height == 1 else GUTTER
        if x >= gutter:
            self.post_message(StepPointed(self.picture.axis.step(x - gutter, self.size.width - gutter)))


def floor_row(picture: Picture, height: int) -> int | None:
    """The row of the noise floor from above; the last one, or the first, if the floor is outside the scale."""
    if picture.floor is None:
        return None
    return height - 1 - min(height - 1, int(picture.scale.place(picture.floor) * height))
