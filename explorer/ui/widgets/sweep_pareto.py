"""The Pareto view of a task: parameters removed against points lost. The front are the settings that none beats."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.geometry import Size

from explorer.state.sweep_grid import SweepGrid
from explorer.state.sweep_look import SweepLook
from explorer.ui.widgets.braille import Linear
from explorer.ui.widgets.curve_plot import GUTTER, held_style, with_gutter
from explorer.ui.widgets.dot_canvas import ACROSS, DOWN, DotCanvas
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.words import numbers
from explorer.words.sweeps import family_text
from explorer.words.token_text import fit, flowing
from explorer.words.verdict_figures import margin_text
from probes.schema.sweep import Tradeoff

_ON_FRONT, _BEHIND = "●■▲▼◆", "○□△▽◇"
"""A mark for each family."""
_TABLE = 62
"""Characters of the table beside the plot."""
_WIDE = 104
"""From this width on the table is beside the plot, else below it."""


class SweepPareto(NamedFigures, LineWidget, can_focus=True):
    """Draws every setting of the task under the cursor, and lists the front."""

    ALLOW_SELECT = True

    FIGURE_NAMES: ClassVar[Names] = {
        **{"parameters removed": "cell.removed", "removed": "cell.removed", "points lost": "task.difference"},
        **{"lost": "task.difference", "mean KL": "task.kl", "the front": "cell.front"},
    }

    def names_in(self, line: int) -> Names:  # noqa: ARG002 - a plot's words are nothing else
        return self.FIGURE_NAMES

    def __init__(self) -> None:
        super().__init__(id="sweep-pareto", classes="panel")
        self._grid: SweepGrid | None = None
        self._look = SweepLook()

    def show(self, grid: SweepGrid | None, look: SweepLook) -> None:
        if (grid, look) != (self._grid, self._look):
            self._grid, self._look = grid, look
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        grid, palette = self._grid, self.palette
        if grid is None or not grid.tasks:
            self.entitle(Text("Pareto"), Text(""))
            return []
        task = grid.tasks[self._look.column(grid)]
        found = grid.tradeoffs(task)
        prompt = grid.is_prompt(self._look.column(grid))
        what = "mean KL, nat" if prompt else "points lost"
        margin = "" if prompt else f"   ┈ margin {margin_text(grid.read.sweep.header.margin)}"
        title = Text(f"Pareto · {flowing(task)} · parameters removed (%) against {what}")
        self.entitle(title, Text(f"{_legend(grid, found)}{margin}"))
        if not found:
            return [[(" No setting has figures of this task yet.", palette.muted)]]
        beside = size.width >= _WIDE
        table = self._table(grid, found, prompt)
        if beside:
            plot = self._plot(grid, found, size.width - _TABLE, size.height, prompt)
            return [[*line, *(table[y] if y < len(table) else [])] for y, line in enumerate(plot)]
        rows = min(len(table), max(4, size.height // 3))
        return [*self._plot(grid, found, size.width, size.height - rows, prompt), *table[:rows]]

    def _plot(self, grid: SweepGrid, found: Sequence[Tradeoff], width: int, height: int, prompt: bool) -> list[Pieces]:
        palette, cursor = self.palette, grid.settings[self._look.row(grid)]
        margin = 0.0 if prompt else grid.read.sweep.header.margin
        across = Linear(0.0, _round_up(max(one.removed for one in found)))
        high = max(max(one.lost for one in found), 1.5 * margin)
        low = min(0.0, *(one.lost for one in found))
        up = Linear(low if low < -0.002 else 0.0, _round_up(high))
        canvas = DotCanvas(width - GUTTER - 2, height - 1)

        def at(one: Tradeoff) -> tuple[int, int]:
            return (
                round(across.place(one.removed) * (ACROSS * canvas.width - 4)),
                round((1 - up.place(one.lost)) * (DOWN * canvas.height - 1)),
            )

        front = [one for one in found if one.front]
        for one, other in itertools.pairwise(front):
            (x, y), (to_x, to_y) = at(one), at(other)
            canvas.line((x, y), (to_x, y), palette.muted)
            canvas.line((to_x, y), (to_x, to_y), palette.muted)
        for one in sorted(found, key=lambda one: (one.front, one.setting == cursor)):
            x, y = (place // dots for place, dots in zip(at(one), (ACROSS, DOWN), strict=True))
            style = held_style(one.held, palette) if one.front else palette.quiet
            chosen = one.setting == cursor
            canvas.write(x, y, _mark(grid, one), style + (palette.cursor if chosen else Style(bold=one.front)))
        for one in sorted(front, key=lambda one: one.setting != cursor):
            self._label(canvas, one, at(one), palette.strong if one.setting == cursor else palette.muted)
        if margin:
            y = round((1 - up.place(margin)) * (DOWN * canvas.height - 1)) // DOWN
            canvas.write(0, y, "┈" * canvas.width, palette.split, under=True)
        written = numbers.plain if prompt else lambda value: f"{100 * value:.0f}"
        lines: list[Pieces] = [[*line, ("  ", None)] for line in with_gutter(canvas, up, palette, written)]
        ends = f"{'0':<{canvas.width // 2}}{100 * across.high / 2:.0f}"
        right = f"{100 * across.high:.0f} %"
        lines.append([(" " * GUTTER + fit(ends, canvas.width - len(right)) + right + "  ", palette.muted)])
        return lines

    def _label(self, canvas: DotCanvas, one: Tradeoff, at: tuple[int, int], style: Style) -> None:
        """The name of a setting beside its mark, if there is room."""
        text = flowing(one.setting)
        x, y = at[0] // ACROSS, at[1] // DOWN
        for left in (x + 2, x - len(text) - 1):
            places = range(max(0, left - 1), min(canvas.width, left + len(text)))
            if 0 <= left <= canvas.width - len(text) and not any(
                canvas.taken(place, y) for place in places if place != x
            ):
                canvas.write(left, y, text, style)
                return

    def _table(self, grid: SweepGrid, found: Sequence[Tradeoff], prompt: bool) -> list[Pieces]:
        """The front, from the mildest setting on."""
        palette, cursor = self.palette, grid.settings[self._look.row(grid)]
        head = f"  {'the front':<22}{'removed':>8}{'lost':>8}  {'interval':<10}"
        lines: list[Pieces] = [[(head, palette.muted)]]
        front = [one for one in found if one.front]
        chosen = next((one for one in found if one.setting == cursor and not one.front), None)
        for one in [*front, *([chosen] if chosen is not None else [])]:
            if one is chosen:
                lines.append([("  beaten by one of these:", palette.muted)])
            lost = numbers.significant(one.lost) if prompt else f"{100 * one.lost:.1f}".replace("-", "−")
            ends = "" if prompt else f"{_whole(one.lost_low)}…{_whole(one.lost_high)}"
            style = palette.strong if one.setting == cursor else palette.text
            lines.append(
                [
                    ("▸" if one.setting == cursor else " ", palette.strong),
                    (f"{_mark(grid, one)} ", held_style(one.held, palette)),
                    (f"{fit(flowing(one.setting), 21)}{100 * one.removed:>6.1f} %{lost:>8}  {ends:<10}", style),
                    (f"{one.held.value if not prompt else ''}", held_style(one.held, palette)),
                ]
            )
        return lines


def _mark(grid: SweepGrid, one: Tradeoff) -> str:
    place = list(grid.by_family).index(one.family) if one.family in grid.by_family else 0
    return (_ON_FRONT if one.front else _BEHIND)[place % len(_ON_FRONT)]


def _legend(grid: SweepGrid, found: Sequence[Tradeoff]) -> str:
    families = dict.fromkeys(one.family for one in found)
    return "  ".join(
        f"{_ON_FRONT[place % len(_ON_FRONT)]} {family_text(family)}"
        for place, family in enumerate(grid.by_family)
        if family in families
    )


def _round_up(value: float) -> float:
    return next((step for step in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0) if value <= step), value)


def _whole(value: float) -> str:
    return f"{round(100 * value)}".replace("-", "−")
