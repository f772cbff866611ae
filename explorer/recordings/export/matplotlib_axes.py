"""Draws one panel with matplotlib: the looks of its curves, their gaps and ends, the marks at its edges.

Blue is the first recording (or the main curve), orange the second; each has a line style of its own, so that no
figure depends on colour.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from explorer.recordings.export.panels import Curve, Panel, PrintFigure, Scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

COLOURS = ("#0b62a8", "#d9660a", "#5a5a5a", "#4fa3d8", "#8a4a00", "#000000")
"""Blue and orange first; then by lightness."""
LINE_STYLES = ("-", (0, (4.5, 1.6)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "oDP*X<"
"""Markers that differ from those at the edges and from the square at a curve's end."""
_MATH = {
    "cos h": r"$\cos h$",
    "cos z, centred": r"$\cos z$, centred",
    "cos z, raw": r"$\cos z$, raw",
    "cos p": r"$\cos p$",
    "1 − cos p": r"$1-\cos p$",
    "1 − cos h": r"$1-\cos h$",
    "rms Δz": r"rms $\Delta z$",
    "Var Δz": r"Var $\Delta z$",
    "KL(p‖q)": r"KL$(p\,\|\,q)$",
    "ΣKL": r"$\Sigma$KL",
}

Look = dict[str, Any]
"""Matplotlib's properties of a line."""


def crowded(drawn: PrintFigure) -> bool:
    """Does each of several recordings have several curves in a panel?"""
    over = [panel for panel in drawn.panels if isinstance(panel, Panel)]
    return len(drawn.subjects) > 1 and any(curve.variant for panel in over for curve in panel.curves)


def look(curve: Curve, panel: Panel, drawn: PrintFigure) -> Look:
    """How a curve is drawn.

    Among several recordings each has its colour and its dashes. If each has several curves, the dashes tell those
    apart and a few markers the recordings. Of a pair the first is a broad pale line that the second is drawn upon.
    """
    full = crowded(drawn)
    place = curve.subject if len(drawn.subjects) > 1 else curve.variant
    under = panel.paired and curve.variant == 0
    colour = COLOURS[place % len(COLOURS)]
    found: Look = {
        "color": pale(colour) if under else colour,
        "linestyle": LINE_STYLES[curve.variant if full else turn(place)],
        "linewidth": 2.2 if under else 0.95 if curve.variant else 1.1,
        "zorder": 2 if under or (curve.variant and not panel.paired) else 3,
    }
    return found | (marked(curve.subject) if full else {})


def marked(subject: int) -> Look:
    """The marker of one of several recordings."""
    return {
        "marker": MARKERS[turn(subject)],
        "markersize": 2.8,
        "markerfacecolor": "white",
        "markeredgecolor": COLOURS[subject % len(COLOURS)],
        "markeredgewidth": 0.8,
    }


def turn(place: int) -> int:
    """The dashes and the marker of a recording: others than those of the one before it with the same colour."""
    return (place + place // len(COLOURS)) % len(LINE_STYLES)


def pale(colour: str) -> str:
    """Halfway to white."""
    return "#" + "".join(f"{(int(colour[at : at + 2], 16) + 255) // 2:02x}" for at in (1, 3, 5))


def draw_panel(axis: Axes, panel: Panel, drawn: PrintFigure) -> None:
    """Curves over steps."""
    from matplotlib.ticker import MaxNLocator

    log = panel.powers
    if log:
        axis.set_yscale("log", nonpositive="mask")
    for curve in sorted(panel.curves, key=lambda curve: curve.subject):
        _curve(axis, curve, panel, drawn, log)
    axis.set_xlim(0.5, panel.steps + 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    low, high = axis.get_ylim()
    if panel.ceiling is not None:
        axis.set_ylim(low, panel.ceiling * 1.3 if log else panel.ceiling + 0.02 * (panel.ceiling - low))
    elif not log and all(v is None or not v < 0 for curve in panel.curves for v in curve.values):
        axis.set_ylim(bottom=0)
    if log:
        _powers(axis.yaxis, *axis.get_ylim())
    if panel.guide is not None and low < panel.guide < high:
        axis.axhline(panel.guide, color="#888888", linewidth=0.5, zorder=0)
    _splits(axis, drawn)
    axis.set_ylabel(_named(panel.axis, panel.unit))


def draw_scatter(axis: Axes, panel: Scatter) -> None:
    """One figure against another, with the line where they are equal."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    for place, points in enumerate(panel.points):
        if points:
            axis.plot(
                *zip(*points, strict=True),
                color=COLOURS[place % len(COLOURS)],
                marker=MARKERS[turn(place)],
                markersize=2.4,
                markerfacecolor="none",
                markeredgewidth=0.6,
                linestyle="none",
            )
    everything = [one for points in panel.points for point in points for one in point]
    if everything:
        low, high = min(everything) / 1.5, max(everything) * 1.5
        axis.plot([low, high], [low, high], color="#888888", linewidth=0.6, zorder=0)
        axis.set_xlim(low, high)
        axis.set_ylim(low, high)
        _powers(axis.xaxis, low, high)
        _powers(axis.yaxis, low, high)
    axis.set_xlabel(_named(panel.across, panel.unit))
    axis.set_ylabel(_named(panel.up, panel.unit))


def _curve(axis: Axes, curve: Curve, panel: Panel, drawn: PrintFigure, log: bool) -> None:
    """One line, with gaps at steps without a value. Values that are not on the axis are marked at its edge."""
    found = look(curve, panel, drawn)
    place = curve.subject if len(drawn.subjects) > 1 else curve.variant
    colour = COLOURS[place % len(COLOURS)]
    numbered = list(enumerate(curve.values, 1))
    finite = [
        (step, v if v is not None and math.isfinite(v) and (v > 0 or not log) else math.nan) for step, v in numbered
    ]
    if found["linestyle"] != "-":  # dashes alone leave out the peaks that fall into a gap
        axis.plot(
            [step for step, _ in finite],
            [v for _, v in finite],
            color=pale(colour),
            linewidth=0.4,
            zorder=found["zorder"] - 0.5,
            gid=f"thread-{curve.subject}-{curve.variant}",
        )
    apart = max(1, len(numbered) // 6)
    axis.plot(
        [step for step, _ in finite],
        [v for _, v in finite],
        markevery=(apart * curve.subject // 2 % apart, apart),
        gid=f"curve-{curve.subject}-{curve.variant}",
        **found,
    )
    if alone := list(_alone(finite)):
        axis.plot(*zip(*alone, strict=True), color=colour, marker="o", markersize=2, linestyle="none")
    if last := panel.end(curve):
        axis.plot(
            *finite[last - 1],
            color=colour,
            marker="s",
            markersize=2.8,
            linestyle="none",
            zorder=4,
            clip_on=False,
            gid=f"end-{curve.subject}-{curve.variant}",
        )
    above = [step for step, v in numbered if v == math.inf]
    undefined = [step for step, v in numbered if v is not None and math.isnan(v)]
    below = [step for step, v in numbered if v == -math.inf or (log and v == 0)]
    for marker, steps, height in (("^", above, 0.955), ("x", undefined, 0.955), ("v", below, 0.045)):
        if steps:
            axis.plot(
                steps,
                [height] * len(steps),
                transform=axis.get_xaxis_transform(),
                color=colour,
                marker=marker,
                markersize=3.4,
                markerfacecolor="white",
                markeredgewidth=0.8,
                linestyle="none",
                zorder=4,
                gid=f"odd-{marker}-{curve.subject}-{curve.variant}",
            )


def _splits(axis: Axes, drawn: PrintFigure) -> None:
    """Marks the step at which choices first differ. Recordings that split at one step take turns along the line."""
    at: dict[int, list[int]] = defaultdict(list)
    for place, subject in enumerate(drawn.subjects):
        if subject.split is not None:
            at[subject.split].append(place)
    for step, places in at.items():
        for turn, place in enumerate(places):
            axis.axvline(
                step,
                color=COLOURS[place % len(COLOURS)] if len(drawn.subjects) > 1 else "#666666",
                linewidth=0.7,
                linestyle=(3 * turn, (1, 3 * len(places) - 1)),
                zorder=0,
            )


def _alone(points: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Values with no neighbour, which a line would not show."""
    for there, group in groupby(points, key=lambda point: not math.isnan(point[1])):
        if there and len(run := list(group)) == 1:
            yield run[0]


def _powers(axis: Axis, low: float, high: float) -> None:
    """Labels that fit: powers of ten, and plain numbers between them if there are hardly any."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _named(axis: str, unit: str) -> str:
    """The formula of a figure with its unit. All other text is no formula, because it may name a watched token."""
    return (_MATH.get(axis) or axis.replace("$", r"\$")) + (f" ({unit})" if unit else "")
