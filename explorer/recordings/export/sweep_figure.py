"""Draws the curves of a sweep for print: what each task loses, then each task's score with its knee."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from explorer.recordings.export.matplotlib_axes import COLOURS, LINE_STYLES, MARKERS
from explorer.recordings.export.matplotlib_figures import FONT, TINY, WIDTH, drawn_bytes, print_style
from explorer.recordings.export.wrapping import in_font, lines_in_font
from explorer.words.sweeps import amount_text, cliff_sentence, family_text, figure_text, knee_text, knees_sentence
from explorer.words.token_text import flowing
from probes.schema.items import TaskKind
from probes.schema.sweep import Curve, CurvePoint, Held, Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOP, _ROW = 2.1, 1.65
"""Inches of the panel of all tasks, and of a row of single ones."""
_ACROSS = 4
"""Single panels in a row."""
_STEADY = (COLOURS[0], "#4fa3d8", "#123a66", "#7a8fa3")
"""Of tasks that choose or rank; generation is orange."""
_GENERATED = (COLOURS[1], "#8a4a00", "#e8a15c")


def draw_sweep(sweep: Sweep, of: Sequence[Curve], to: str) -> bytes:
    """The figure of the curves `of` one family, as a file of this format. Raises `BadInput` without matplotlib."""
    with print_style():
        from matplotlib.figure import Figure

        curves = [curve for curve in of if any(point.value is not None for point in curve.points)]
        judged = [curve for curve in curves if curve.kind is not None]
        caption = _caption(sweep, of)
        lines = lines_in_font(flowing(caption), 72 * (WIDTH - 0.2), in_font(FONT, TINY))
        foot = 0.125 * len(lines) + 0.08
        across = min(_ACROSS, max(1, len(curves)))
        rows = -(-len(curves) // across)
        heights = [*([_TOP] if judged else []), *[_ROW] * rows]
        height = sum(heights) + 0.25 + foot
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, foot / height, 1, 1 - foot / height), h_pad=0.05, w_pad=0.03)  # type: ignore[call-arg]  # of the constrained engine
        grid = figure.add_gridspec(len(heights), across, height_ratios=heights)
        if judged:
            _together(figure.add_subplot(grid[0, :]), judged)
        for place, curve in enumerate(curves):
            row, column = divmod(place, across)
            _alone(figure.add_subplot(grid[row + bool(judged), column]), curve, curves, first=not column)
        text = "\n".join(lines)
        figure.text(0.09 / WIDTH, 0.045 / height, text, fontsize=TINY, va="bottom", parse_math=False)
        title = f"{sweep.header.dense}: {family_text(of[0].family)}" if of else sweep.header.dense
        return drawn_bytes(figure, to, title, caption)


def _caption(sweep: Sweep, of: Sequence[Curve]) -> str:
    header = sweep.header
    parts = [
        f"{header.dense}. {knees_sentence(of)}" if of else header.dense,
        cliff_sentence(of),
        f"◆ knee: the largest amount that is safe together with all smaller ones, at a margin of "
        f"{100 * header.margin:g} points (dotted) and {100 * header.level:g} % intervals.",
        "Above: pruned minus dense, paired. Below: the pruned model's score; dashed, the dense model's; dotted, "
        "guessing.",
    ]
    return " ".join(part for part in parts if part)


def _together(axis: Axes, curves: Sequence[Curve]) -> None:
    """Points lost against the dense model, of every task, with paired intervals."""
    axis.axhline(0, color="#888888", linewidth=0.5)
    axis.axhline(-100 * curves[0].margin, color="#000000", linewidth=0.7, linestyle=(0, (1, 1.5)))
    for place, curve in enumerate(curves):
        colour = _colour(curve, curves)
        points = [(x, point, point.difference) for x, point in _placed(curve.points) if point.difference is not None]
        if not points:
            continue
        xs = [x + _aside(place, len(curves), curve) for x, _, _ in points]
        values = [100 * of.value for _, _, of in points]
        ends = [
            [100 * max(0.0, of.value - of.low) for _, _, of in points],
            [100 * max(0.0, of.high - of.value) for _, _, of in points],
        ]
        knee = f"   ◆ {amount_text(curve.at_knee)}" if curve.at_knee is not None else ""
        kind = f" ({curve.kind})" if curve.kind is not None else ""
        axis.errorbar(
            xs,
            values,
            yerr=ends,
            color=colour,
            linestyle=LINE_STYLES[place % len(LINE_STYLES)],
            linewidth=1.1,
            elinewidth=0.7,
            capsize=1.8,
            capthick=0.7,
            marker=MARKERS[place % len(MARKERS)],
            markersize=3.2,
            markerfacecolor="white",
            label=f"{flowing(curve.task)}{kind}{knee}".replace("$", r"\$"),
        )
        for x, (_, point, of) in zip(xs, points, strict=True):
            if point is curve.at_knee:
                axis.plot([x], [100 * of.value], "D", color=colour, ms=5.5, zorder=5)
    _ticks(axis, curves[0])
    axis.set_xlabel(family_text(curves[0].family))
    axis.set_ylabel("points against dense")
    axis.legend(frameon=False, loc="best", handlelength=2.6)


def _alone(axis: Axes, curve: Curve, curves: Sequence[Curve], *, first: bool) -> None:
    """One task's score with its interval, the dense score, guessing, and the knee."""
    colour = _colour(curve, curves)
    scale = 100.0 if curve.kind is not None else 1.0
    if curve.dense is not None:
        axis.axhline(scale * curve.dense, color="#444444", linewidth=0.8, linestyle=(0, (4, 1.5)))
    if curve.chance:
        axis.axhline(scale * curve.chance, color="#777777", linewidth=0.6, linestyle=(0, (1, 1.5)))
    points = [(x, one) for x, one in _placed(curve.points) if one.value is not None]
    xs = [x for x, _ in points]
    axis.plot(xs, [scale * (one.value or 0.0) for _, one in points], color=colour, linewidth=1.0, zorder=2)
    for x, one in points:
        if one.low is not None and one.high is not None:
            axis.plot([x, x], [scale * one.low, scale * one.high], color=colour, linewidth=0.8, zorder=2)
        knee, safe = one is curve.at_knee, one.held is Held.SAFE
        mark = "D" if knee else "X" if one.held is Held.BROKEN else "o"
        face = colour if safe or one.held is Held.BROKEN else "white"
        axis.plot([x], [scale * (one.value or 0.0)], mark, color=colour, mfc=face, ms=5 if knee else 3.4, zorder=3)
        if knee:
            axis.axvline(x, color=colour, linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=1)
    if curve.kind is not None:
        low = min([scale * one.low for _, one in points if one.low is not None], default=0.0)
        axis.set_ylim(bottom=max(0.0, 10 * ((low - 2) // 10)))
    else:
        axis.set_ylim(bottom=0)
    _ticks(axis, curve)
    said = knee_text(curve)
    mark = "◆ " if curve.knee is not None else ""
    axis.set_title(f"{flowing(curve.task)}\n{mark}{said}".replace("$", r"\$"), fontsize=TINY + 0.5, loc="left")
    label = figure_text(curve)
    if first or curve.kind is None or label != figure_text(curves[curves.index(curve) - 1]):
        axis.set_ylabel(label)


def _ticks(axis: Axes, curve: Curve) -> None:
    """The swept amounts themselves, every second one if there are many."""
    placed = _placed(curve.points)
    every = max(1, -(-len(placed) // 8))
    shown = placed[::every]
    low, high = placed[0][0], placed[-1][0]
    axis.set_xlim(low - 0.07 * (high - low or 1), high + 0.07 * (high - low or 1))
    axis.set_xticks([x for x, _ in shown], [amount_text(point).replace("$", r"\$") for _, point in shown])


def _placed(points: Sequence[CurvePoint]) -> list[tuple[float, CurvePoint]]:
    return [(float(place) if one.amount is None else one.amount, one) for place, one in enumerate(points)]


def _aside(place: int, of: int, curve: Curve) -> float:
    """Moves the points of one task beside those of the others, so that their intervals can be told apart."""
    placed = _placed(curve.points)
    if len(placed) < 2:
        return 0.0
    apart = min(b - a for (a, _), (b, _) in pairwise(placed))
    return 0.09 * apart * (place - (of - 1) / 2)


def _colour(curve: Curve, curves: Sequence[Curve]) -> str:
    generated = curve.kind is TaskKind.GENERATION
    alike = [one for one in curves if (one.kind is TaskKind.GENERATION) is generated]
    colours = _GENERATED if generated else _STEADY
    return colours[alike.index(curve) % len(colours)]
