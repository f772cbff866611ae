"""The heat strips: a figure of every sublayer over steps, as levels; which rows and steps fit on a screen."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from enum import StrEnum

from explorer.state.view import View
from probes.schema.explanation import LayerFigures, Layers
from probes.schema.part import SUBLAYERS, Part


class HeatOf(StrEnum):
    """Which of a sublayer's two comparisons."""

    ACCUMULATED = "accumulated"
    SAME_INPUT = "same input"


class HeatSpace(StrEnum):
    """In which space."""

    H = "1 − cos h"
    Z = "1 − cos z"
    P = "KL"


HEAT_BOUNDS = {
    HeatSpace.H: (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6),
    HeatSpace.Z: (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6),
    HeatSpace.P: (0.001, 0.005, 0.02, 0.1, 0.25, 1.0, 4.0),
}
"""The lower bounds of levels 1 to 7. They are fixed, so that a colour means the same at every step and in every run."""


@dataclass(frozen=True, slots=True)
class Heat:
    """What the strips show."""

    of: HeatOf = HeatOf.ACCUMULATED
    space: HeatSpace = HeatSpace.P

    @property
    def other(self) -> Heat:
        return replace(self, of=next(one for one in HeatOf if one is not self.of))

    @property
    def next_space(self) -> Heat:
        every = list(HeatSpace)
        return replace(self, space=every[(every.index(self.space) + 1) % len(every)])

    def value(self, row: LayerFigures) -> float:
        """The figure of a sublayer; may be infinite or nan."""
        found = row.accumulated if self.of is HeatOf.ACCUMULATED else row.same_input
        match self.space:
            case HeatSpace.H:
                return 1.0 - found.h.cos
            case HeatSpace.Z:
                return 1.0 - found.z.cos_centred
        return found.p.kl

    def level(self, value: float) -> int | None:
        """From 0, alike, to 7; None if the figure is undefined. An infinite one has the highest level."""
        return None if math.isnan(value) else bisect_right(HEAT_BOUNDS[self.space], value)


@dataclass(frozen=True, slots=True)
class HeatRows:
    """The values of a window of steps."""

    first: int
    """The step of the first column."""
    layers: tuple[int, ...]
    """Every layer that was measured at any of the steps."""
    values: dict[Part, tuple[float | None, ...]]
    """One value a step; None if it has not been measured."""
    parting: Part | None
    """The sublayer at which the two lenses part for good, at the cursor's step."""

    @property
    def sublayers(self) -> list[str]:
        """The kinds of sublayer that there are, attention first."""
        return [kind for kind in SUBLAYERS if any(part.kind == kind for part in self.values)]


def heat_rows(view: View, heat: Heat, steps: int) -> HeatRows:
    """The strips over as many steps as fit, with the cursor in the middle if possible."""
    first, last = steps_window(view.cursor, view.newest, steps)
    found = [view.finding(Layers, step) for step in range(first, last + 1)]
    columns = [{Part(row.sublayer, row.layer): heat.value(row) for row in one.rows} if one else {} for one in found]
    parts = dict.fromkeys(part for column in columns for part in column)
    values = {part: tuple(column.get(part) for column in columns) for part in parts}
    here = found[view.cursor - first] if view.cursor else None
    parting = here.parting if here is not None else None
    return HeatRows(
        first,
        tuple(sorted({part.layer for part in parts})),
        values,
        Part(parting.sublayer, parting.layer) if parting is not None else None,
    )


def steps_window(cursor: int, newest: int, width: int) -> tuple[int, int]:
    """The first and the last step of a window that keeps the cursor in its middle if possible."""
    first = max(1, min(cursor - width // 2, newest - width + 1))
    return first, min(newest, first + width - 1)


def scrolled_top(top: int, chosen: int | None, count: int, height: int) -> int:
    """The first row to show so that the chosen one is visible, of `count` rows in a window of `height`."""
    if chosen is not None:
        top = max(min(top, chosen), chosen - height + 1)
    return max(0, min(top, count - height))
