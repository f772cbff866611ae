"""Draws curves of a sweep: scores with their intervals against the amount, the dense score as a line, the knee."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.style import Style

from explorer.ui.theme import Palette
from explorer.ui.widgets.braille import DASHED, DOTTED, LONG, SOLID, Linear, linear_above_zero
from explorer.ui.widgets.dot_canvas import ACROSS, DOWN, DotCanvas
from explorer.ui.widgets.line_widget import Pieces
from explorer.words import numbers
from explorer.words.sweeps import KNEE, SIGNS, amount_text
from explorer.words.token_text import fit, flowing
from probes.schema.items import TaskKind
from probes.schema.sweep import Curve, CurvePoint, Held
from probes.schema.verdict import Interval

GUTTER = 6
"""Characters left of a plot, for the values on its axis."""
_PAD = 2
"""Characters left free at both ends of the axis of amounts."""
_NAMES = 22
"""Characters right of a plot of several tasks, for their names."""
MARKS = "●■▲▼○□△▽"
Written = Callable[[float], str]
_DASHES = (SOLID, DASHED, DOTTED, LONG)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A plot's place: from values to dots."""

    scale: Linear
    amounts: tuple[float, ...]
    width: int
    height: int

    def x(self, amount: float) -> int:
        """The character of an amount, from left."""
        low, high = self.amounts[0], self.amounts[-1]
        room = self.width - 1 - 2 * _PAD
        return self.width // 2 if high == low else _PAD + round((amount - low) / (high - low) * room)

    def dot_x(self, amount: float) -> int:
        return ACROSS * self.x(amount)

    def dot_y(self, value: float) -> int:
        """The dot of a value, from the top."""
        return min(DOWN * self.height - 1, int((1 - self.scale.place(value)) * DOWN * self.height))

    def y(self, value: float) -> int:
        return self.dot_y(value) // DOWN


def plot_of(curve: Curve, palette: Palette, width: int, height: int, cursor: str | None) -> list[Pieces]:
    """One task's curve in so many characters: `height` - 1 rows of the plot, and the amounts below.

    `cursor` is the setting that is marked; None marks none.
    """
    points = _placed(curve.points)
    frame = _Frame(_scale(curve), tuple(at for at, _ in points) or (0.0,), width - GUTTER, height - 1)
    canvas = DotCanvas(frame.width, frame.height)
    shown = [(at, one) for at, one in points if one.value is not None]
    for (at, one), (then, other) in itertools.pairwise(shown):
        assert one.value is not None
        assert other.value is not None
        canvas.line(
            (frame.dot_x(at), frame.dot_y(one.value)), (frame.dot_x(then), frame.dot_y(other.value)), palette.muted
        )
    for at, one in shown:
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        _whisker(canvas, frame, at, Interval(one.value, one.low, one.high), held_style(one.held, palette))
    for at, one in shown:
        assert one.value is not None
        sign = KNEE if one is curve.at_knee else SIGNS[one.held]
        canvas.write(frame.x(at), frame.y(one.value), sign, held_style(one.held, palette) + Style(bold=True))
    _levels(canvas, frame, curve, palette)
    _marks(canvas, frame, curve, points, palette, cursor)
    written = (lambda value: f"{100 * value:.0f}") if curve.kind is not None else numbers.plain
    return [*with_gutter(canvas, frame.scale, palette, written), _amounts(frame, curve, points, palette, cursor)]


def plot_together(
    curves: Sequence[Curve], palette: Palette, width: int, height: int, cursor: str | None
) -> list[Pieces]:
    """What every task loses, in points against the dense model, in one plot; the names are right of it."""
    judged = [curve for curve in curves if any(point.difference is not None for point in curve.points)]
    if not judged:
        return []
    longest = max(judged, key=lambda curve: len(curve.points))
    points = _placed(longest.points)
    found = [one.difference for curve in judged for one in curve.points if one.difference is not None]
    low = min(min(one.low for one in found), -2 * judged[0].margin)
    high = max(max(one.high for one in found), 0.0)
    scale = Linear(-_round_up(-low), _round_up(high) if high > 0.004 else 0.02)
    frame = _Frame(scale, tuple(at for at, _ in points), width - GUTTER - _NAMES, height - 1)
    canvas = DotCanvas(frame.width, frame.height)
    ends: list[tuple[int, int]] = []
    for place, curve in enumerate(judged):
        style = task_style(curve, palette)
        shown = [(at, one.difference) for at, one in _placed(curve.points) if one.difference is not None]
        for (at, one), (then, other) in itertools.pairwise(shown):
            start, end = (frame.dot_x(at), frame.dot_y(one.value)), (frame.dot_x(then), frame.dot_y(other.value))
            canvas.line(start, end, style, _DASHES[place % len(_DASHES)])
        for at, one in shown:
            _whisker(canvas, frame, at, one, style)
        ends.append((frame.y(shown[-1][1].value), place))
    for place, curve in enumerate(judged):
        for at, point in _placed(curve.points):
            if point.difference is not None:
                sign = KNEE if point is curve.at_knee else MARKS[place % len(MARKS)]
                style = task_style(curve, palette) + Style(bold=True)
                canvas.write(frame.x(at), frame.y(point.difference.value), sign, style)
    canvas.write(0, frame.y(0.0), "╌" * frame.width, palette.dense, under=True)
    canvas.write(0, frame.y(-judged[0].margin), "┈" * frame.width, palette.split, under=True)
    for at, point in points:
        if point.setting == cursor:
            canvas.ground(frame.x(at), palette.column)
    rows = with_gutter(canvas, frame.scale, palette, lambda value: _points(value))
    for row, place in _spread(sorted(ends), frame.height):
        curve = judged[place]
        knee = f" {KNEE}{amount_text(curve.at_knee)}" if curve.at_knee is not None else ""
        name = f" {MARKS[place % len(MARKS)]} {flowing(curve.task)}"
        rows[row].append((fit(name, _NAMES - len(knee)) + knee, task_style(curve, palette)))
    return [*rows, _amounts(frame, None, points, palette, cursor)]


def held_style(held: Held, palette: Palette) -> Style:
    """Blue if the task is safe there, orange if it is broken; the sign says the same."""
    return {Held.SAFE: palette.dense, Held.BROKEN: palette.pruned}.get(held, palette.text)


def task_style(curve: Curve, palette: Palette) -> Style:
    """Orange for generation, blue for tasks that choose or rank; marks and dashes tell single tasks apart."""
    return palette.pruned if curve.kind is TaskKind.GENERATION else palette.dense


def _placed(points: Sequence[CurvePoint]) -> list[tuple[float, CurvePoint]]:
    """Each point with its amount, or its number if its setting has none."""
    return [(float(place) if one.amount is None else one.amount, one) for place, one in enumerate(points)]


def _scale(curve: Curve) -> Linear:
    ends = [end for one in curve.points for end in (one.low, one.high) if end is not None and math.isfinite(end)]
    if curve.kind is None:
        return linear_above_zero(max(ends, default=1.0))
    known = [one for one in (*ends, curve.dense, curve.chance) if one is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    bottom, top = math.floor(10 * low + 1e-9) / 10, math.ceil(10 * high - 1e-9) / 10
    return Linear(max(0.0, bottom), min(1.0, max(top, bottom + 0.1)))


def _levels(canvas: DotCanvas, frame: _Frame, curve: Curve, palette: Palette) -> None:
    """The dense score, and what guessing would score, each a line with its name."""
    if curve.chance:
        y = frame.y(curve.chance)
        canvas.write(0, y, " guessing ", palette.muted, under=True)
        canvas.write(0, y, "┈" * frame.width, palette.quiet, under=True)
    if curve.dense is not None:
        y = frame.y(curve.dense)
        if not any(canvas.taken(x, y) for x in range(max(0, frame.width - 6), frame.width)):
            canvas.write(frame.width - 6, y, " dense", palette.dense)
        canvas.write(0, y, "╌" * frame.width, palette.dense, under=True)


def _whisker(canvas: DotCanvas, frame: _Frame, at: float, of: Interval, style: Style) -> None:
    x, low, high = frame.dot_x(at), frame.dot_y(of.low), frame.dot_y(of.high)
    if low == high:
        return
    canvas.line((x, high), (x, low), style)
    for y in (low, high):
        canvas.line((x - 1, y), (x + 1, y), style)


def _marks(
    canvas: DotCanvas,
    frame: _Frame,
    curve: Curve,
    points: Sequence[tuple[float, CurvePoint]],
    palette: Palette,
    cursor: str | None,
) -> None:
    """The line at the knee, and the column of the cursor."""
    for at, one in points:
        if one is curve.at_knee:
            for y in range(frame.height):
                canvas.write(frame.x(at), y, "┆", palette.split, under=True)
        if one.setting == cursor:
            canvas.ground(frame.x(at), palette.column)


def with_gutter(canvas: DotCanvas, scale: Linear, palette: Palette, written: Written) -> list[Pieces]:
    """The lines of a plot with round values beside them."""
    step = _step(scale.high - scale.low, canvas.height)
    ticks = range(math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9) + 1)
    labels = {row_of(tick * step, scale, canvas.height): written(tick * step) for tick in ticks}
    return [
        [(f"{labels.get(y, ''):>{GUTTER - 2}} ", palette.muted), ("│", palette.faint), *row]
        for y, row in enumerate(canvas.rows())
    ]


def row_of(value: float, scale: Linear, height: int) -> int:
    """The row of characters of a value, from the top."""
    return min(DOWN * height - 1, int((1 - scale.place(value)) * DOWN * height)) // DOWN


def _step(span: float, height: int) -> float:
    """The distance of two values beside a plot: a round number, with two rows between them at least."""
    least = span / max(1, (height - 1) / 3)
    size = 10.0 ** math.floor(math.log10(least))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= least)


def _amounts(
    frame: _Frame,
    curve: Curve | None,
    points: Sequence[tuple[float, CurvePoint]],
    palette: Palette,
    cursor: str | None,
) -> Pieces:
    """The amounts below the plot, as many as fit: first the cursor's and the knee's."""
    line = DotCanvas(frame.width, 1)
    knee = curve.at_knee if curve is not None else None
    order = sorted(points, key=lambda one: (one[1].setting != cursor, one[1] is not knee))
    for at, one in order:
        text = amount_text(one) if one.amount is not None else fit(flowing(one.setting), frame.width).rstrip()
        text = f"{KNEE}{text}" if one is knee else text
        x = max(0, min(frame.x(at) - len(text) // 2, frame.width - len(text)))
        if any(line.taken(place, 0) for place in range(max(0, x - 1), min(frame.width, x + len(text) + 1))):
            continue
        style = palette.strong if one.setting == cursor else palette.split if one is knee else palette.muted
        line.write(x, 0, text, palette.faint if one.value is None and one.setting != cursor else style)
    return [(" " * GUTTER, None), *line.rows()[0]]


def _spread(ends: Sequence[tuple[int, int]], height: int) -> list[tuple[int, int]]:
    """Rows for names, near their line's end, no two in one row; those that find none are left out."""
    rows: list[tuple[int, int]] = []
    lowest = -1
    for place, (y, name) in enumerate(ends):
        row = max(lowest + 1, min(y, height - (len(ends) - place)))
        if row < height:
            rows.append((row, name))
            lowest = row
    return rows


def _round_up(value: float) -> float:
    return next((step for step in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if value <= step), 1.0)


def _points(value: float) -> str:
    text = f"{100 * value:+.0f}".replace("-", "−")
    return "0" if text in ("+0", "−0") else text
