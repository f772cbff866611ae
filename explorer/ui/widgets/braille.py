"""Lines as braille dots: pure functions from columns of figures to cells.

If a dot column covers several steps, both their smallest and their largest value are drawn: a spike of one token is
never lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.state.axis import Axis
from explorer.state.columns import KEPT, Bounds, Column

BLOCKS = "▁▂▃▄▅▆▇█"
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character by dot column and row, top to bottom."""
BRAILLE = [chr(0x2800 + dots) for dots in range(256)]


@dataclass(frozen=True)
class Scale:
    """Maps a value to a place on the height of a chart: 0 is the bottom, 1 the top."""

    low: float
    high: float

    def place(self, value: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Linear(Scale):
    """Equal steps."""

    def place(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True)
class Log(Scale):
    """Equal steps for equal ratios. Zero and negative values are at the bottom."""

    def place(self, value: float) -> float:
        if value <= self.low:
            return 0.0
        return min(1.0, math.log(value / self.low) / math.log(self.high / self.low))


Dash = tuple[int, int]
"""Of a line: dot columns drawn, dot columns left out."""

SOLID, DASHED, DOTTED, LONG = (1, 0), (3, 2), (1, 1), (6, 2)

DotCell = tuple[str, int]
"""One character of a chart, and the index of the series that drew it last; -1 for none."""

EMPTY: DotCell = (" ", -1)


def lines(
    columns: Sequence[Column], dashes: Sequence[Dash], axis: Axis, scale: Scale, width: int, height: int
) -> list[list[DotCell]]:
    """The columns as lines in width × height cells; the first is drawn on top of the others."""
    bits = [[0] * width for _ in range(height)]
    owner = [[-1] * width for _ in range(height)]
    for series in reversed(range(len(columns))):
        spans = _spans(columns[series], axis, scale, 2 * width, 4 * height)
        drawn, left_out = dashes[series]
        for x, span in enumerate(spans):
            if span is None or x % (drawn + left_out) >= drawn:
                continue
            for y in range(span[0], span[1] + 1):
                bits[y >> 2][x >> 1] |= DOTS[x & 1][y & 3]
                owner[y >> 2][x >> 1] = series
    cells = [
        [(BRAILLE[dots], series) if dots else EMPTY for dots, series in zip(row, owners, strict=True)]
        for row, owners in zip(bits, owner, strict=True)
    ]
    for series in reversed(range(len(columns))):
        _mark_odd(cells, columns[series], series, axis, width)
    return cells


def bars(column: Column, axis: Axis, scale: Scale, width: int, *, lowest: bool = False) -> list[DotCell]:
    """The column as one row of blocks: the largest value of each cell's steps, or the smallest."""
    row: list[DotCell] = []
    for found in cell_bounds(column, axis, width):
        if found is None:
            row.append(EMPTY)
            continue
        place = scale.place(found[0] if lowest else found[1])
        row.append((BLOCKS[min(7, int(place * 8))], 0))
    _mark_odd([row], column, 0, axis, width)
    return row


def cell_bounds(column: Column, axis: Axis, width: int) -> list[Bounds]:
    """The bounds of each cell's steps. If steps are wider than cells, those of the step that the cell belongs to."""
    if axis.count > width:
        return column.buckets(axis, width)
    steps = [axis.step(cell, width) for cell in range(width)]
    return [column.bounds(step - 1, step) for step in steps]


def linear_above_zero(highest: float) -> Linear:
    """From 0 to a round number at or above the largest value."""
    if highest <= 0:
        return Linear(0.0, 1.0)
    size = 10.0 ** math.floor(math.log10(highest))
    return Linear(0.0, next(step * size for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * size >= highest * 0.999))


def linear_below_one(lowest: float) -> Linear:
    """From a round number at or below the smallest value up to 1."""
    bounds = (0.9999, 0.999, 0.99, 0.98, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0, -0.5)
    return Linear(next((bound for bound in bounds if bound <= lowest), -1.0), 1.0)


def decades(lowest: float, highest: float) -> Log:
    """Whole powers of ten around the values, two at least and six at most."""
    top = 10.0 ** math.ceil(math.log10(highest)) if highest > 0 else 1.0
    bottom = 10.0 ** math.floor(math.log10(lowest)) if lowest > 0 else top / 1e6
    return Log(max(top / 1e6, min(bottom, top / 100)), top)


def _spans(column: Column, axis: Axis, scale: Scale, width: int, height: int) -> list[tuple[int, int] | None]:
    """Top and bottom dot row of each dot column, joined to its neighbours if there is no gap between them."""
    rows: list[tuple[int, int] | None]
    if axis.count > width:
        rows = dot_rows(column, axis, scale, width, height)
        broken = {axis.cell(index + 1, width) for index in column.odd}
    else:
        rows = [_between(column, axis, scale, x, width, height) for x in range(width)]
        broken = set()
    return [_joined(rows, x, broken) for x in range(width)]


def dot_rows(column: Column, axis: Axis, scale: Scale, width: int, height: int) -> list[tuple[int, int] | None]:
    """Top and bottom dot row of each bucket. Rows of buckets that did not change since the last drawing are reused."""
    found = column.buckets(axis, width)
    key = (axis, scale, width, height)
    before, rows = column.drawn.pop(key, ([], []))
    if found != before:
        rows = [
            rows[x] if x < len(before) and before[x] is bounds
            else bounds and (_row(scale, bounds[1], height), _row(scale, bounds[0], height))
            for x, bounds in enumerate(found)
        ]  # fmt: skip
        before = found.copy()
    column.drawn[key] = before, rows
    while len(column.drawn) > KEPT:
        del column.drawn[next(iter(column.drawn))]
    return rows


def _between(column: Column, axis: Axis, scale: Scale, x: int, width: int, height: int) -> tuple[int, int] | None:
    """The dot row in which a straight line between neighbouring steps passes a dot column."""
    place = (x + 0.5) * axis.count / width - 0.5
    left = math.floor(place)
    share = place - left
    base = axis.first - 1
    values = [
        column.at(base + index) if 0 <= index < axis.count and base + index < len(column) else None
        for index in (left, left + 1)
    ]
    usable = [value for value in values if value is not None and math.isfinite(value)]
    if len(usable) == 2:
        row = _row_of(scale.place(usable[0]) * (1 - share) + scale.place(usable[1]) * share, height)
    elif usable and values.index(usable[0]) == round(share):
        row = _row(scale, usable[0], height)
    else:
        return None
    return row, row


def _joined(rows: Sequence[tuple[int, int] | None], x: int, broken: set[int]) -> tuple[int, int] | None:
    """A column's rows stretched half-way towards the next column's, so that a line has no holes."""
    here = rows[x]
    if here is None or x in broken:
        return here
    top, bottom = here
    for neighbour in (x - 1, x + 1):
        other = rows[neighbour] if 0 <= neighbour < len(rows) and neighbour not in broken else None
        if other is None:
            continue
        if other[0] > bottom + 1:
            bottom = (bottom + other[0]) // 2
        elif other[1] < top - 1:
            top = (top + other[1] + 1) // 2
    return top, bottom


def _row(scale: Scale, value: float, height: int) -> int:
    return _row_of(scale.place(value), height)


def _row_of(place: float, height: int) -> int:
    return min(height - 1, int((1 - place) * height))


def _mark_odd(cells: list[list[DotCell]], column: Column, series: int, axis: Axis, width: int) -> None:
    for index, value in column.odd.items():
        if axis.first <= index + 1 <= axis.last:
            x = axis.cell(index + 1, width)
            row = len(cells) - 1 if value != value or value < 0 else 0
            cells[row][x] = ("∞" if math.isinf(value) else "?", series)
