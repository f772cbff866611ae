"""The curves of one family: a plot for each task, or all tasks in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.geometry import Size

from explorer.state.heat import scrolled_top
from explorer.state.sweep_grid import SweepGrid
from explorer.state.sweep_look import SweepLook
from explorer.ui.widgets.curve_plot import plot_of, plot_together
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.ui.widgets.sweep_heat import CellPointed
from explorer.words.sweeps import KNEE, SIGNS, curve_foot, family_text, figure_text, knee_text
from explorer.words.token_text import fit, flowing
from explorer.words.verdict_figures import margin_text
from probes.schema.sweep import Curve

_LEAST_WIDTH, _LEAST_HEIGHT = 50, 9
"""Characters of a plot, with its heading."""


class SweepCurves(NamedFigures, LineWidget, can_focus=True):
    """Draws the curves of the family under the cursor."""

    FIGURE_NAMES: ClassVar[Names] = {
        "points lost": "task.difference",
        "safe up to": "cell.knee",
        "accuracy": "task.score",
    }

    def names_in(self, line: int) -> Names:  # noqa: ARG002 - a plot's words are nothing else
        return self.FIGURE_NAMES

    def __init__(self) -> None:
        super().__init__(id="sweep-curves", classes="panel")
        self._grid: SweepGrid | None = None
        self._look = SweepLook()
        self._top = 0
        self._places: list[tuple[int, int, int, int]] = []
        """Left, top, width and height of each plot that is drawn, in the order of `_drawn`."""
        self._drawn: list[Curve] = []

    def show(self, grid: SweepGrid | None, look: SweepLook) -> None:
        if (grid, look) != (self._grid, self._look):
            self._grid, self._look = grid, look
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        grid = self._grid
        self._places, self._drawn = [], []
        if grid is None or not grid.settings:
            self.entitle(Text("curves"), Text(""))
            return []
        family = grid.family(self._look.row(grid))
        curves = grid.curves_of(family)
        if self._look.together:
            self._frame(grid, family, "all tasks, points lost against the dense model")
            lines = plot_together(curves, self.palette, size.width, size.height, self._setting(grid))
            return lines or [[(" No task of this family has figures yet.", self.palette.muted)]]
        return self._plots(grid, family, curves, size)

    def _setting(self, grid: SweepGrid) -> str:
        return grid.settings[self._look.row(grid)]

    def _plots(self, grid: SweepGrid, family: str, curves: list[Curve], size: Size) -> list[Pieces]:
        across = max(1, min(len(curves), size.width // _LEAST_WIDTH, 3))
        rows = -(-len(curves) // across)
        shown = max(1, min(rows, size.height // _LEAST_HEIGHT))
        height, width = size.height // shown, size.width // across
        chosen = next((at for at, one in enumerate(curves) if one.task == grid.tasks[self._look.column(grid)]), 0)
        self._top = scrolled_top(self._top, chosen // across, rows, shown)
        window = f"rows {self._top + 1}–{self._top + shown} of {rows}" if shown < rows else ""
        self._frame(grid, family, window)
        lines: list[Pieces] = []
        for row in range(self._top, self._top + shown):
            beside = curves[row * across : (row + 1) * across]
            blocks = []
            for place, curve in enumerate(beside):
                at = row * across + place
                self._places.append((place * width, (row - self._top) * height, width, height))
                self._drawn.append(curve)
                blocks.append(self._block(curve, width, height, self._setting(grid), chosen=at == chosen))
            lines += [_beside(blocks, y, width) for y in range(height)]
        return lines

    def _block(self, curve: Curve, width: int, height: int, cursor: str, *, chosen: bool) -> list[Pieces]:
        palette = self.palette
        knee = knee_text(curve)
        head = f"{'▸' if chosen else ' '}{flowing(curve.task)}"
        kind = f" · {figure_text(curve)}"
        foot = curve_foot(curve)
        said = f"  {KNEE} {knee}" if curve.knee is not None else f"  {knee}" if knee else ""
        line: Pieces = [
            (head, palette.strong if chosen else palette.text),
            (kind, palette.muted),
            (said, palette.split),
        ]
        used = sum(cell_len(text) for text, _ in line)
        if foot and used + len(foot) + 4 <= width:
            line.append((f"{foot:>{width - used - 2}}", palette.muted))
        return [line, *plot_of(curve, palette, width - 2, height - 1, cursor)]

    def _frame(self, grid: SweepGrid, family: str, what: str) -> None:
        legend = " ".join(f"{sign} {held.value} " for held, sign in SIGNS.items())
        families = list(grid.by_family)
        of = f" ({families.index(family) + 1} of {len(families)})" if len(families) > 1 else ""
        title = Text(f"curves · {family_text(family)}{of}{f' · {what}' if what else ''}")
        margin = margin_text(grid.read.sweep.header.margin)
        if self._look.together:
            self.entitle(title, Text(f"╌ dense   ┈ margin −{margin}   {KNEE} knee"))
        else:
            self.entitle(title, Text(f"{legend} {KNEE} knee: safe by a margin of {margin}, and so all below"))

    def on_click(self, event: events.Click) -> None:
        inside, grid = event.get_content_offset(self), self._grid
        if inside is None or grid is None:
            return
        for (left, top, width, height), curve in zip(self._places, self._drawn, strict=True):
            if left <= inside.x < left + width and top <= inside.y < top + height:
                column = grid.tasks.index(curve.task)
                self.post_message(CellPointed(self._look.row(grid), column, opened=event.chain == 2))


def _filled(line: Pieces, width: int) -> Pieces:
    """The line in exactly so many characters."""
    used, found = 0, []
    for text, style in line:
        room = width - used
        cut = text if cell_len(text) <= room else fit(text, room)
        found.append((cut, style))
        used += cell_len(cut)
        if used >= width:
            break
    return [*found, (" " * max(0, width - used), None)]


def _beside(blocks: Sequence[Sequence[Pieces]], y: int, width: int) -> Pieces:
    """One line of some blocks beside each other."""
    return [piece for block in blocks for piece in _filled(block[y] if y < len(block) else [], width)]
