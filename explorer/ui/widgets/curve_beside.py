"""The curve through the cell under the cursor, beside what the cell gave."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.geometry import Size

from explorer.state.sweep_grid import SweepGrid
from explorer.state.sweep_look import SweepLook
from explorer.ui.widgets.curve_plot import plot_of
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words.sweeps import KNEE, family_text, figure_text, knee_text
from explorer.words.token_text import flowing
from probes.schema.sweep import Curve


class CurveBeside(LineWidget, can_focus=True):
    """Draws one task's curve."""

    def __init__(self) -> None:
        super().__init__(id="curve", classes="panel")
        self._shown: tuple[Curve, str] | None = None

    def show(self, grid: SweepGrid | None, look: SweepLook) -> None:
        shown = None
        if grid is not None and grid.settings:
            row = look.row(grid)
            curve = grid.curve(grid.family(row), grid.tasks[look.column(grid)])
            shown = (curve, grid.settings[row]) if curve is not None else None
        if shown != self._shown:
            self._shown = shown
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        if self._shown is None or size.height < 3 or size.width < 20:
            return []
        curve, setting = self._shown
        knee = knee_text(curve)
        mark = f"{KNEE} " if curve.knee is not None else ""
        what = f"{flowing(curve.task)} · {family_text(curve.family)}"
        self.entitle(Text(f"{what} · {figure_text(curve)}"), Text(f"{mark}{knee}"))
        return plot_of(curve, self.palette, size.width, size.height, setting)
