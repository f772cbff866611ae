"""Draws a verdict for print: differences with their intervals and the margin, and what is lost in each space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.recordings.export.matplotlib_axes import COLOURS
from explorer.recordings.export.matplotlib_figures import FONT, TINY, WIDTH, drawn_bytes, print_style
from explorer.recordings.export.wrapping import in_font, lines_in_font
from explorer.words.token_text import flowing
from explorer.words.verdicts import claim_sentence
from probes.schema.verdict import Outcome, TaskVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_LINE, _FRAME = 0.34, 1.0
"""Inches a task, and around all of them."""
_HATCHES = ("", "////", "xxxx")
"""Of h, z and p, so that the bars differ without colour."""
_SHADES = ("#bcd5ea", "#4fa3d8", "#0b62a8")


def draw_verdict(found: Verdict, to: str) -> bytes:
    """The figure as a file of this format. Raises `BadInput` if matplotlib is missing."""
    with print_style():
        from matplotlib.figure import Figure

        rows = list(found.rows)
        title = f"{found.dense} ⇄ {found.setting or found.pruned}"
        caption = f"{title}. {claim_sentence(found)}".strip()
        lines = lines_in_font(flowing(caption), 72 * (WIDTH - 0.2), in_font(FONT, TINY))
        foot = 0.125 * len(lines) + 0.08
        height = _FRAME + _LINE * max(1, len(rows)) + foot
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, foot / height, 1, 1 - foot / height))  # type: ignore[call-arg]  # of the constrained engine
        left, right = figure.subplots(1, 2, sharey=True)
        _differences(left, rows, found)
        _spaces(right, rows)
        text = "\n".join(lines)
        figure.text(0.09 / WIDTH, 0.045 / height, text, fontsize=TINY, va="bottom", parse_math=False)
        return drawn_bytes(figure, to, title, caption)


def _differences(axis: Axes, rows: Sequence[TaskVerdict], found: Verdict) -> None:
    """A point and an interval for each task; filled if it is decided."""
    axis.axvline(0, color="#888888", linewidth=0.5)
    axis.axvline(-100 * found.margin, color="#000000", linewidth=0.7, linestyle=(0, (1, 1.5)))
    for place, row in enumerate(rows):
        of = row.difference
        colour = COLOURS[1] if row.outcome is Outcome.BROKEN else COLOURS[0]
        decided = row.outcome in (Outcome.BROKEN, Outcome.SAFE)
        axis.plot([100 * of.low, 100 * of.high], [place, place], color=colour, linewidth=1.1)
        face = colour if decided else "white"
        axis.plot(
            [100 * of.value], [place], "s" if row.outcome is Outcome.BROKEN else "o", color=colour, mfc=face, ms=4
        )
    names = [f"{flowing(row.task)}\n{row.outcome}".replace("$", r"\$") for row in rows]
    axis.set_yticks(range(len(rows)), names)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel(f"difference in points ({100 * found.level:g} % intervals; dotted: the margin)")


def _spaces(axis: Axes, rows: Sequence[TaskVerdict]) -> None:
    """Three bars for each task."""
    for number, name in enumerate(("h", "z", "p")):
        places = [(place, row.spaces) for place, row in enumerate(rows) if row.spaces is not None]
        axis.barh(
            [place + 0.25 * (number - 1) for place, _ in places],
            [max(0.0, getattr(spaces, name)) for _, spaces in places],
            height=0.22,
            color=_SHADES[number],
            hatch=_HATCHES[number],
            edgecolor="white" if number else _SHADES[number],
            linewidth=0.0,
            label=f"${name}$",
        )
    axis.set_xlabel("lost: 1 − cosine, mean over the items")
    axis.set_xlim(left=0)
    axis.legend(frameon=False, loc="best", handlelength=1.6)
