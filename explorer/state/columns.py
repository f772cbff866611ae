"""A path turned into columns, one list a figure, so that a chart never walks the records."""

from __future__ import annotations

import math
from collections.abc import Sequence

from explorer.state.axis import Axis
from explorer.words.figures import Scope, value
from probes.schema.record import StepRecord

Bounds = tuple[float, float] | None
"""Smallest and largest finite value of some steps; None if no value is finite."""

KEPT = 4
"""Sets of buckets a column remembers: one for each width it is drawn at."""


class Column:
    """One figure over the steps of a path; index 0 is step 1."""

    def __init__(self) -> None:
        self.low: list[float] = []
        """The values, with +inf for steps without a finite one, so that the minimum of a slice is right."""
        self.high: list[float] = []
        """The same with -inf, for the maximum."""
        self.lowest, self.highest = math.inf, -math.inf
        """Over all steps; `lowest` is above `highest` while there is no finite value."""
        self.odd: dict[int, float] = {}
        """Values that are not finite, by index. Each is drawn as a mark of its own and never joined to others."""
        self._buckets: dict[tuple[Axis, int], tuple[int, list[Bounds]]] = {}
        self.drawn: dict[object, tuple[list[Bounds], list[tuple[int, int] | None]]] = {}
        """The buckets and dot rows of the last drawing, by how it was drawn."""

    def __len__(self) -> int:
        return len(self.low)

    def append(self, number: float | None) -> None:
        if number is not None and not math.isfinite(number):
            self.odd[len(self.low)] = number
            number = None
        if number is not None:
            self.lowest, self.highest = min(self.lowest, number), max(self.highest, number)
        self.low.append(math.inf if number is None else number)
        self.high.append(-math.inf if number is None else number)

    def at(self, index: int) -> float | None:
        """The value at a step, None if it has none; may be infinite or nan."""
        if index in self.odd:
            return self.odd[index]
        found = self.low[index]
        return None if math.isinf(found) else found

    def bounds(self, first: int, stop: int) -> Bounds:
        """Smallest and largest finite value in a slice."""
        lowest = min(self.low[first:stop], default=math.inf)
        return None if math.isinf(lowest) else (lowest, max(self.high[first:stop]))

    def buckets(self, axis: Axis, width: int) -> list[Bounds]:
        """The bounds of each of `width` cells of an axis that has more steps than cells.

        Earlier buckets are kept, and are the same objects: one more step costs a look at the bucket it falls into.
        """
        done, found = self._buckets.pop((axis, width), (0, []))
        base, steps = axis.first - 1, len(self.low)
        start = axis.cell(max(axis.first, done), width) if found else 0
        for cell in range(start, width if done < steps or not found else 0):
            first, stop = axis.slice(cell, width)
            if base + first >= steps:
                found += [None] * (width - len(found))
                break
            before = found[cell] if cell < len(found) else None
            bounds = joint(before, self.bounds(max(base + first, done), base + stop))
            if cell == len(found):
                found.append(bounds)
            elif bounds is not before:
                found[cell] = bounds
        self._buckets[axis, width] = steps, found
        while len(self._buckets) > KEPT:
            del self._buckets[next(iter(self._buckets))]
        return found


def joint(one: Bounds, other: Bounds) -> Bounds:
    """The bounds of the steps of both: the first object, if the other bounds are within it."""
    if one is None or other is None:
        return one or other
    if one[0] <= other[0] and other[1] <= one[1]:
        return one
    return min(one[0], other[0]), max(one[1], other[1])


class Columns:
    """The columns of one path, each built when first asked for and kept up from then on."""

    def __init__(self, path: Sequence[StepRecord] = ()) -> None:
        self._path = path
        self._columns: dict[tuple[str, Scope], Column] = {}
        self.diverged: int | None = None
        """The first step at which the models saw different contexts."""
        self.diverges_at: int | None = None
        """The step before it, at which the tokens differ; None too if the recording has lost it."""
        self._looked = 0

    def __len__(self) -> int:
        return len(self._path)

    def get(self, key: str, scope: Scope = Scope.SHARED) -> Column:
        """The column up to the newest step. A figure that is missing becomes nan, which is marked."""
        column = self._columns.setdefault((key, scope), Column())
        for place in range(len(column), len(self._path)):
            record = self._path[place]
            found = value(record, key, scope)
            lost = record.invalid is not None or record.missing
            column.append(math.nan if found is None and lost else found)
        return column

    def catch_up(self) -> None:
        """Notes what the newest steps changed about the whole path."""
        for place in range(self._looked, len(self._path)):
            record = self._path[place]
            if self.diverged is None and not record.same_context:
                self.diverged = record.step
            if self.diverges_at is None and record.diverges:
                self.diverges_at = record.step
        self._looked = len(self._path)
