"""The figures for print: drawn by matplotlib, without a display, the same bytes for the same recording.

Blue is the first recording (or the main curve), orange the second; each has a line style of its own, so that no
figure depends on colour. Letters are drawn as outlines in SVG and embedded as TrueType in PDF.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from explorer.export.drawings import NAMES, Curve, Drawing, Panel, Scatter, drawing, material, powers
from probes.errors import BadInput
from probes.session import Session

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = ("#0b62a8", "#d9660a", "#5a5a5a", "#4fa3d8", "#8a4a00", "#000000")
"""Blue and orange first; then by lightness."""
DASHES = ("-", (0, (4.5, 1.6)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "osDP*X"
WIDTH = 6.9
"""Inches: two columns of a page."""
ROW = 1.75
"""Inches a row of panels."""
TINY, SMALL = 6.5, 7.5
"""Points."""
_LETTERS = 142
"""Of a caption's line at this width."""
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


def draw(
    sessions: Sequence[Session],
    to: str,
    *,
    names: Sequence[str] = (),
    total: bool = False,
    caption: bool = True,
) -> tuple[dict[str, bytes], list[str]]:
    """The figures by name as files of that format, and a sentence for each that can't be had.

    All of `NAMES` unless some are named. Raises `BadInput` where a name is none, where none of those asked for can be
    drawn, and where matplotlib is missing.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise BadInput("Figures", f"There is no figure {unknown[0]!r}.", f"Choose among {', '.join(NAMES)}.")
    of = material(sessions, total=total)
    drawings = [drawing(name, of) for name in names or NAMES]
    notes = [one for one in drawings if isinstance(one, str)]
    with _style(), warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", "Glyph .* missing")
        files = {one.name: _render(one, to, caption) for one in drawings if isinstance(one, Drawing)}
    if any("Glyph" in str(one.message) for one in told):
        notes.append("Letters that the font for print does not have are drawn as boxes.")
    if not files:
        raise BadInput("Figures", " ".join(notes), "Choose another figure.")
    return files, notes


def _render(drawn: Drawing, to: str, caption: bool) -> bytes:
    figure = _figure(drawn, caption)
    out = io.BytesIO()
    title = f"{drawn.name}: {', '.join(subject.label for subject in drawn.subjects)}"
    about = {
        "svg": {"Title": title, "Description": drawn.caption, "Date": None},
        "png": {"Title": title, "Description": drawn.caption},
        "pdf": {"Title": title, "Subject": drawn.caption, "CreationDate": None},
    }
    figure.savefig(out, format=to, metadata=about[to])
    return out.getvalue()


def _figure(drawn: Drawing, caption: bool) -> Figure:
    from matplotlib.figure import Figure

    rows = -(-len(drawn.panels) // drawn.columns)
    lines = textwrap.wrap(drawn.caption, _LETTERS) if caption else []
    foot = (len(lines) * 0.125 + 0.08) if lines else 0.0
    height = rows * ROW + 0.35 + foot
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, foot / height, 1, 1 - foot / height), h_pad=0.04, w_pad=0.04)  # type: ignore[call-arg]  # of the constrained engine
    grid = figure.subplots(rows, drawn.columns, squeeze=False)
    axes = [axis for row in grid for axis in row]
    several = len(drawn.subjects) > 1
    for axis, panel in zip(axes, drawn.panels, strict=False):
        if isinstance(panel, Panel):
            _panel(axis, panel, drawn, several)
        else:
            _scatter(axis, panel)
    for axis in axes[len(drawn.panels) :]:
        axis.set_visible(False)
    over = [place for place, panel in enumerate(drawn.panels) if isinstance(panel, Panel)]
    for place in over:
        if place + drawn.columns not in over:
            axes[place].set_xlabel("decoding step")
    _legend(figure, axes, len(drawn.subjects))
    if lines:
        figure.text(
            0.012, 0.045 / height, "\n".join(lines), fontsize=TINY, va="bottom", linespacing=1.25, parse_math=False
        )
    return figure


def _panel(axis: Axes, panel: Panel, drawn: Drawing, several: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    log = powers(panel)
    if log:
        axis.set_yscale("log", nonpositive="mask")
    crowded = several and any(curve.variant for curve in panel.curves)
    for curve in sorted(panel.curves, key=lambda curve: curve.subject):
        _curve(axis, curve, several, crowded, log)
    steps = max(len(curve.values) for curve in panel.curves)
    axis.set_xlim(0.5, steps + 0.5)
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
    for split in {curve.subject: drawn.subjects[curve.subject].split for curve in panel.curves}.items():
        if split[1] is not None:
            colour = COLOURS[split[0] % len(COLOURS)] if several else "#666666"
            axis.axvline(split[1], color=colour, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    axis.set_ylabel(_named(panel.axis, panel.unit))


def _curve(axis: Axes, curve: Curve, several: bool, crowded: bool, log: bool) -> None:
    """One line, broken where a step has no value; what can't stand on the axis is marked at its edge.

    Among several recordings each has its colour and its dashes; where each has several curves in the panel
    (`crowded`), the dashes tell those apart and a few markers the recordings.
    """
    place = curve.subject if several else curve.variant
    colour = COLOURS[place % len(COLOURS)]
    dashes = DASHES[(curve.variant if crowded else place) % len(DASHES)]
    main = curve.variant == 0
    numbered = list(enumerate(curve.values, 1))
    finite = [
        (step, v if v is not None and math.isfinite(v) and (v > 0 or not log) else math.nan) for step, v in numbered
    ]
    apart = max(1, len(numbered) // 6)
    axis.plot(
        [step for step, _ in finite],
        [v for _, v in finite],
        color=colour,
        linestyle=dashes,
        linewidth=1.1 if main else 0.95,
        label=_plain(curve.label) if curve.label else None,
        zorder=3 if main else 2,
        marker=MARKERS[curve.subject % len(MARKERS)] if crowded else None,
        markevery=(apart * curve.subject // 2 % apart, apart),
        markersize=2.8,
        markerfacecolor="white",
        markeredgewidth=0.8,
    )
    if alone := list(_alone(finite)):
        axis.plot(*zip(*alone, strict=True), color=colour, marker="o", markersize=2, linestyle="none")
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


def _alone(points: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Values with no neighbour, which a line would not show."""
    for there, group in groupby(points, key=lambda point: not math.isnan(point[1])):
        if there and len(run := list(group)) == 1:
            yield run[0]


def _scatter(axis: Axes, panel: Scatter) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    for place, points in enumerate(panel.points):
        if points:
            axis.plot(
                *zip(*points, strict=True),
                color=COLOURS[place % len(COLOURS)],
                marker=MARKERS[place % len(MARKERS)],
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


def _powers(axis: Axis, low: float, high: float) -> None:
    """Labels that fit: powers of ten, and where there are hardly any, plain numbers between them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axes: Sequence[Axes], subjects: int) -> None:
    """One legend for all panels, above them, where there is anything to tell apart."""
    found: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        fitting = max(1, _LETTERS // (12 + max(map(len, found))))
        columns = min(fitting, subjects if 1 < subjects < len(found) else len(found))
        figure.legend(list(found.values()), list(found), loc="outside upper left", ncols=columns, frameon=False)


def _named(axis: str, unit: str) -> str:
    return _MATH.get(axis, axis) + (f" ({unit})" if unit else "")


def _plain(text: str) -> str:
    """Text in which a dollar sign is a dollar sign."""
    return text.replace("$", r"\$")


@contextmanager
def _style() -> Iterator[None]:
    try:
        import matplotlib as mpl
    except ImportError as problem:
        raise BadInput(
            "Figures", "Drawing them takes matplotlib.", 'Install it: pip install "phier[figures]".'
        ) from problem
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_PRINT)
        yield


_PRINT: dict[Any, object] = {
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "xtick.labelsize": TINY,
    "ytick.labelsize": TINY,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": SMALL,
    "legend.handlelength": 3,
    "svg.fonttype": "path",
    "svg.hashsalt": "phier",
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "path.simplify": False,
}
