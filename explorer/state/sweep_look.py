"""Where a person looks in a sweep: the view, the cell under the cursor, the figure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from explorer.state.sweep_grid import GridCell, SweepGrid
from explorer.words.sweep_figures import VERDICT, SweepFigure


class SweepPage(StrEnum):
    """The views of a sweep."""

    HEAT = "heat map"
    CURVES = "curves"
    PARETO = "Pareto"


@dataclass(frozen=True, slots=True)
class SweepLook:
    """What is looked at. Settings and tasks are kept by name, as a running sweep may get more of them."""

    page: SweepPage = SweepPage.HEAT
    setting: str = ""
    """"" for the first."""
    task: str = ""
    figure: SweepFigure = VERDICT
    together: bool = False
    """Are the curves of all tasks in one chart?"""

    def row(self, grid: SweepGrid) -> int:
        """The place of the cursor's setting."""
        return grid.settings.index(self.setting) if self.setting in grid.settings else 0

    def column(self, grid: SweepGrid) -> int:
        """The place of the cursor's task."""
        return grid.tasks.index(self.task) if self.task in grid.tasks else 0

    def cell(self, grid: SweepGrid) -> GridCell | None:
        """The cell under the cursor."""
        return grid.at(self.row(grid), self.column(grid)) if grid.settings and grid.tasks else None

    def at(self, grid: SweepGrid, row: int, column: int) -> SweepLook:
        """The same with the cursor at this place, or at the nearest one that there is."""
        if not grid.settings or not grid.tasks:
            return self
        row, column = max(0, min(row, len(grid.settings) - 1)), max(0, min(column, len(grid.tasks) - 1))
        return replace(self, setting=grid.settings[row], task=grid.tasks[column])

    def moved(self, grid: SweepGrid, rows: int, columns: int) -> SweepLook:
        return self.at(grid, self.row(grid) + rows, self.column(grid) + columns)

    def next_family(self, grid: SweepGrid) -> SweepLook:
        """The same at the first setting of the next family, or of the first one after the last."""
        families = list(grid.by_family)
        if not families:
            return self
        here = families.index(grid.family(self.row(grid)))
        rows = grid.by_family[families[(here + 1) % len(families)]]
        return self.at(grid, rows[0], self.column(grid))

    def next_knee(self, grid: SweepGrid) -> SweepLook | None:
        """The same at the knee of the cursor's curve; None if that has none."""
        curve = grid.curve(grid.family(self.row(grid)), grid.tasks[self.column(grid)]) if grid.settings else None
        knee = curve.at_knee if curve is not None else None
        return replace(self, setting=knee.setting) if knee is not None else None

    def next_figure(self, grid: SweepGrid, step: int) -> SweepLook:
        """The same with another figure of those that this sweep has."""
        figures = grid.figures or (VERDICT,)
        here = figures.index(self.figure) if self.figure in figures else 0
        return replace(self, figure=figures[(here + step) % len(figures)])
