"""The heat strips: a figure of every sublayer over steps, as levels; which rows and steps fit on a screen."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

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
    """The figure that the strips show."""

    of: HeatOf = HeatOf.ACCUMULATED
    space: HeatSpace = HeatSpace.P

    @property
    def other(self) -> Heat:
        return replace(self, of=next(one for one in HeatOf if one is not self.of))

    @property
    def next_space(self) -> Heat:
        every = list(HeatSpace)
        return replace(self, space=every[(every.index(self.space) + 1) % len(every)])

    def value(self, row: LayerFigures) -> float | None:
        """The figure of a sublayer; may be infinite or nan. None if the two models have no input in common."""
        found = row.accumulated if self.of is HeatOf.ACCUMULATED else row.same_input
        if found is None:
            return None
        match self.space:
            case HeatSpace.H:
                return 1.0 - found.h.cos
            case HeatSpace.Z:
                return 1.0 - found.z.cos_centred
        return found.p.kl

    def level(self, value: float) -> int | None:
        """From 0, alike, to 7; None if the figure is undefined. An infinite one has the highest level."""
        return None if math.isnan(value) else bisect_right(HEAT_BOUNDS[self.space], value)


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """The sublayers of one step by their place."""

    of: Layers
    rows: dict[Part, LayerFigures]
    layers: tuple[int, ...]
    kinds: tuple[str, ...]

    @classmethod
    def read(cls, found: Layers) -> _Column:
        rows = {Part(row.sublayer, row.layer): row for row in found.rows}
        present = {row.sublayer for row in found.rows}
        return cls(
            found,
            rows,
            tuple(sorted({row.layer for row in found.rows})),
            tuple(kind for kind in SUBLAYERS if kind in present),
        )


@dataclass(frozen=True, slots=True, eq=False)
class HeatRows:
    """A window of steps."""

    first: int
    """The step of the first column."""
    layers: tuple[int, ...]
    """Every layer that was measured at any of the steps."""
    sublayers: tuple[str, ...]
    """The kinds of sublayer that there are, attention first."""
    parting: Part | None
    """The sublayer at which the two lenses part for good, at the cursor's step."""
    columns: tuple[_Column | None, ...]

    def values(self, part: Part, heat: Heat) -> list[float | None]:
        """The figure of a sublayer at each step; None if it has not been measured."""
        rows = [column.rows.get(part) if column is not None else None for column in self.columns]
        return [heat.value(row) if row is not None else None for row in rows]

    def largest(self, kind: str, layers: Sequence[int], heat: Heat) -> list[tuple[float | None, Part]]:
        """The largest figure of these layers at each step, and its sublayer. One that is undefined is the least."""
        parts = [Part(kind, layer) for layer in layers]
        each = zip(*(self.values(part, heat) for part in parts), strict=True)
        return [max(zip(values, parts, strict=True), key=lambda one: _size(one[0])) for values in each]


def _size(value: float | None) -> tuple[bool, float]:
    """Orders figures: one that has not been measured before one that is undefined, and both before all others."""
    return value is not None, -math.inf if value is None or math.isnan(value) else value


def shared_out(layers: Sequence[int], height: int) -> list[Sequence[int]]:
    """The layers in at most `height` rows: one a row, or if there are more layers, neighbours together, as evenly as
    possible."""
    count = min(len(layers), max(1, height))
    bounds = [row * len(layers) // count for row in range(count + 1)] if count else []
    return [layers[start:stop] for start, stop in pairwise(bounds)]


class HeatColumns:
    """Reads the layers of each step once, so that moving the cursor costs only what is visible."""

    def __init__(self) -> None:
        self._known: dict[int, _Column] = {}

    def rows(self, view: View, steps: int) -> HeatRows:
        """As many steps as fit, with the cursor in the middle if possible."""
        first, last = steps_window(view.cursor, view.newest, steps)
        columns = tuple(self._column(view, step) for step in range(first, last + 1))
        at = columns[view.cursor - first] if view.cursor else None
        here = at.of.parting if at is not None else None
        layers = {column.layers for column in columns if column is not None}
        kinds = {kind for column in columns if column is not None for kind in column.kinds}
        return HeatRows(
            first,
            tuple(sorted({layer for some in layers for layer in some})),
            tuple(kind for kind in SUBLAYERS if kind in kinds),
            Part(here.sublayer, here.layer) if here is not None else None,
            columns,
        )

    def _column(self, view: View, step: int) -> _Column | None:
        found = view.finding(Layers, step)
        if found is None:
            return None
        known = self._known.get(step)
        if known is None or known.of is not found:
            known = self._known[step] = _Column.read(found)
        return known


def steps_window(cursor: int, newest: int, width: int) -> tuple[int, int]:
    """The first and the last step of a window that keeps the cursor in its middle if possible."""
    first = max(1, min(cursor - width // 2, newest - width + 1))
    return first, min(newest, first + width - 1)


def scrolled_top(top: int, chosen: int | None, count: int, height: int) -> int:
    """The first row to show so that the chosen one is visible, of `count` rows in a window of `height`."""
    if chosen is not None:
        top = max(min(top, chosen), chosen - height + 1)
    return max(0, min(top, count - height))
