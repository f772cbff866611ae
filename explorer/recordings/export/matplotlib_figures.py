"""The figures for print: drawn by matplotlib, without a display, the same bytes for the same recording.

Letters are drawn as outlines in SVG and embedded as TrueType in PDF. Captions and legends are broken by their width.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from explorer.recordings.export.drawings import FIGURE_NAMES, material, print_figure
from explorer.recordings.export.matplotlib_axes import (
    COLOURS,
    Look,
    crowded,
    draw_panel,
    draw_scatter,
    look,
    marked,
    pale,
)
from explorer.recordings.export.matplotlib_heat_map import draw_heat_map
from explorer.recordings.export.panels import HeatMap, Panel, PrintFigure, Scatter
from explorer.recordings.export.wrapping import in_font, lines_in_font
from probes.recording import Recording
from probes.schema.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH = 6.9
"""Inches: two columns of a page."""
ROW = 1.75
"""Inches a row of panels."""
FONT = "DejaVu Sans"
TINY, SMALL = 6.5, 7.5
"""Points."""
_MARGIN = 0.09
"""Inches left free beside a caption and a legend."""
_ANY = "#000000"
"""The colour of a legend's entry that applies to every recording."""
_HANDLE, _BESIDE, _APART = 3.0, 0.8, 2.0
"""A legend's sample, the space beside it, and that between columns, in letters' heights."""


def draw(
    recordings: Sequence[Recording],
    to: str,
    *,
    names: Sequence[str] = (),
    own: bool = False,
    caption: bool = True,
) -> tuple[dict[str, bytes], list[str]]:
    """The figures by name as files of that format, with notes on why they are not comparable and which are missing.

    All of `FIGURE_NAMES` unless some are named; "layers" then only if a step was explained, and "watched" only if
    tokens were watched. Raises `BadInput` if a name is unknown, if none of the figures asked for can be drawn, and if
    matplotlib is missing.
    """
    unknown = [name for name in names if name not in FIGURE_NAMES]
    if unknown:
        raise BadInput("Figures", f"There is no figure {unknown[0]!r}.", f"Choose among {', '.join(FIGURE_NAMES)}.")
    of = material(recordings, own=own)
    there = {
        "layers": any(subject.layers for subject in of.subjects),
        "watched": any(subject.header.settings.watch for subject in of.subjects),
    }
    unasked = [name for name in FIGURE_NAMES if there.get(name, True)]
    drawings = [print_figure(name, of) for name in names or unasked]
    notes = [*of.warnings, *(one for one in drawings if isinstance(one, str))]
    if own and not of.free:
        notes.append("Own and shared figures are the same here: both models read the same text throughout.")
    with print_style(), warnings.catch_warnings(record=True) as warned:
        warnings.filterwarnings("always", "Glyph .* missing")
        files = {one.name: _render(one, to, caption) for one in drawings if isinstance(one, PrintFigure)}
    if any("Glyph" in str(one.message) for one in warned):
        notes.append("Letters that the font does not have are drawn as boxes.")
    if not files:
        raise BadInput("Figures", " ".join(one for one in drawings if isinstance(one, str)), "Choose another figure.")
    return files, notes


def _render(drawn: PrintFigure, to: str, caption: bool) -> bytes:
    figure = _figure(drawn, caption)
    title = f"{drawn.name}: {', '.join(subject.label for subject in drawn.subjects)}"
    return drawn_bytes(figure, to, title, drawn.caption)


def drawn_bytes(figure: Figure, to: str, title: str, caption: str) -> bytes:
    """The figure as a file of this format, with its title and caption inside and no date."""
    about: dict[str, dict[str, str | None]] = {
        "svg": {"Title": title, "Description": caption, "Date": None},
        "png": {"Title": title, "Description": caption},
        "pdf": {"Title": title, "Subject": caption, "CreationDate": None},
    }
    out = io.BytesIO()
    figure.savefig(out, format=to, metadata=about[to])
    return out.getvalue()


def _figure(drawn: PrintFigure, caption: bool) -> Figure:
    from matplotlib.figure import Figure

    rows = -(-len(drawn.panels) // drawn.columns)
    room = 72 * (WIDTH - 2 * _MARGIN)
    lines = lines_in_font(drawn.caption, room, in_font(FONT, TINY)) if caption else []
    foot = (len(lines) * 0.125 + 0.08) if lines else 0.0
    entries, columns, head = _legend(drawn, room)
    height = rows * ROW + 0.15 + head + foot
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, foot / height, 1, 1 - foot / height), h_pad=0.04, w_pad=0.04)  # type: ignore[call-arg]  # of the constrained engine
    grid = figure.subplots(rows, drawn.columns, squeeze=False)
    axes = [axis for row in grid for axis in row]
    for axis, panel in zip(axes, drawn.panels, strict=False):
        if isinstance(panel, Panel):
            draw_panel(axis, panel, drawn)
        elif isinstance(panel, HeatMap):
            draw_heat_map(axis, panel)
        else:
            draw_scatter(axis, panel)
    for axis in axes[len(drawn.panels) :]:
        axis.set_visible(False)
    over = [place for place, panel in enumerate(drawn.panels) if not isinstance(panel, Scatter)]
    for place in over:
        if place + drawn.columns not in over:
            axes[place].set_xlabel("decoding step")
    if entries:
        figure.legend(
            [handle for _, handle in entries],
            [label for label, _ in entries],
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            handlelength=_HANDLE,
            handletextpad=_BESIDE,
            columnspacing=_APART,
            borderpad=0.2,
        )
    if lines:
        figure.text(
            _MARGIN / WIDTH,
            0.045 / height,
            "\n".join(lines),
            fontsize=TINY,
            va="bottom",
            linespacing=1.25,
            parse_math=False,
        )
    return figure


def _legend(drawn: PrintFigure, room: float) -> tuple[list[tuple[str, Line2D]], int, float]:
    """One legend for all panels, if there is anything to tell apart: its entries, its columns, its height in inches.

    As many columns as fit in the room (points), read row by row; a label that is wider alone goes over lines.
    """
    from matplotlib.lines import Line2D

    measure = in_font(FONT, SMALL)
    beside = SMALL * (_HANDLE + _BESIDE)
    fitting = room - beside - SMALL
    found = [("\n".join(lines_in_font(label, fitting, measure)), kind) for label, kind in _kinds(drawn).items()]
    if not found:
        return [], 1, 0.0
    wide = [beside + max(map(measure, label.split("\n"))) for label, _ in found]
    columns = next(
        count
        for count in range(len(found), 0, -1)
        if count == 1
        or sum(max(wide[first::count]) for first in range(count)) + SMALL * _APART * (count - 1) + SMALL <= room
    )
    columns = -(-len(found) // -(-len(found) // columns))  # rows of one length
    rows = [found[first : first + columns] for first in range(0, len(found), columns)]
    lines = sum(max(label.count("\n") + 1 for label, _ in row) for row in rows)
    # matplotlib fills column by column.
    order = [place for first in range(columns) for place in range(first, len(found), columns)]
    entries = [(_plain(found[place][0]), Line2D([], [], **found[place][1])) for place in order]
    return entries, columns, 0.05 + 0.16 * lines


def _kinds(drawn: PrintFigure) -> dict[str, Look]:
    """The legend's entries: the curves; or, if each recording has several, the recordings and then the curves."""
    found: dict[str, Look] = {}
    over = [panel for panel in drawn.panels if isinstance(panel, Panel)]
    if not crowded(drawn):
        return {curve.label: look(curve, panel, drawn) for panel in over for curve in panel.curves if curve.label}
    for place, subject in enumerate(drawn.subjects):
        found[subject.label] = {"color": COLOURS[place % len(COLOURS)], "linewidth": 1.1, **marked(place)}
    for panel in over:
        for curve in panel.curves:
            grey = {"color": pale(_ANY) if panel.paired and not curve.variant else _ANY, "marker": None}
            found.setdefault(curve.label, look(curve, panel, drawn) | grey)
    return found


def _plain(text: str) -> str:
    """Text in which a dollar sign is a dollar sign."""
    return text.replace("$", r"\$")


@contextmanager
def print_style() -> Iterator[None]:
    try:
        import matplotlib as mpl
    except ImportError as problem:
        raise BadInput(
            "Figures", "Drawing figures needs matplotlib.", 'Install it: pip install "phier[figures]".'
        ) from problem
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_PRINT)
        yield


_PRINT: dict[Any, object] = {
    "font.family": FONT,
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
    "text.hinting": "no_hinting",
    "svg.fonttype": "path",
    "svg.hashsalt": "phier",
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "path.simplify": False,
}
