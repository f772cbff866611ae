"""Draws the interval of a difference on an axis with zero and the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style

from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import Pieces, joined
from probes.schema.verdict import Outcome, TaskVerdict

AXIS_ENDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""How far the axis may reach on each side."""


@dataclass(frozen=True, slots=True)
class DifferenceAxis:
    """The range of differences that a column of bars shares."""

    low: float
    high: float

    @classmethod
    def around(cls, rows: Sequence[TaskVerdict], margin: float) -> DifferenceAxis:
        """Reaches over all intervals, zero and the margin, to a round number on each side."""
        rows = [row for row in rows if row.items]
        lowest = max(1.25 * margin, *(-row.difference.low for row in rows), 0.0)
        highest = max(margin / 2, *(row.difference.high for row in rows), 0.0)
        return cls(-_round_up(lowest), _round_up(highest))

    def cell(self, value: float, width: int) -> int:
        """The cell of a value, from 0."""
        share = (value - self.low) / (self.high - self.low)
        return max(0, min(width - 1, round(share * (width - 1))))

    def head(self, width: int) -> str:
        """Both ends of the axis and zero, above the bars."""
        ends = f"{100 * self.low:.0f}".replace("-", "−"), f"+{100 * self.high:.0f}"
        line = list(ends[0].ljust(width - len(ends[1])) + ends[1])
        zero = self.cell(0.0, width)
        if len(ends[0]) < zero < width - len(ends[1]) - 1:
            line[zero] = "0"
        return "".join(line)[:width]

    def bar(self, row: TaskVerdict, margin: float, width: int, palette: Palette) -> Pieces:
        """├──●──┤ over a line for zero (│) and one for minus the margin (┊)."""
        cells: Pieces = [(" ", palette.muted)] * width
        zero = self.cell(0.0, width)
        cells[zero] = ("│", palette.muted)
        if margin > 0:  # beside zero at least
            cells[max(0, min(zero - 1, self.cell(-margin, width)))] = ("┊", palette.split)
        style = outcome_style(row.outcome, palette)
        low, high = self.cell(row.difference.low, width), self.cell(row.difference.high, width)
        for at in range(low, high + 1):
            cells[at] = ("╪" if cells[at][0] == "┊" else "┼" if cells[at][0] == "│" else "─", style)
        if low < high:
            cells[low], cells[high] = ("├", style), ("┤", style)
        cells[self.cell(row.difference.value, width)] = ("●", style)
        return joined(cells)


def _round_up(value: float) -> float:
    return next((step for step in AXIS_ENDS if value <= step), 1.0)


def outcome_style(outcome: Outcome, palette: Palette) -> Style:
    """Blue if the setting is safe there, orange if it is broken. The sign of the outcome says the same."""
    return {Outcome.SAFE: palette.dense, Outcome.BROKEN: palette.pruned}.get(outcome, palette.text)
