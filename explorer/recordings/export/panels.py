"""What a figure is made of, as plain data: recordings, curves, panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.recordings.export.series import end
from explorer.words.figures import Scope
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord


@dataclass(frozen=True, slots=True)
class Subject:
    """One recording that is drawn."""

    label: str
    header: RunHeader
    records: Sequence[StepRecord]

    @property
    def split(self) -> int | None:
        return self.records[-1].sum.first_split


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the steps of one recording."""

    label: str
    """What it is among the curves of its recording ("measured"); where there is but one, the recording itself."""
    values: tuple[float | None, ...]
    """Index 0 is step 1; None where a step has no such figure. May be infinite or undefined."""
    subject: int
    """Which recording it is of."""
    variant: int = 0
    """Tells curves of one recording in one panel apart: 0 is the main one."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that share an axis."""

    axis: str
    """What is drawn, as the axis says it: "cos h"."""
    curves: tuple[Curve, ...]
    unit: str = ""
    log: bool = False
    """By powers of ten where the values span more than a factor of thirty."""
    ceiling: float | None = None
    """A bound no value can pass, which the axis then ends at."""
    guide: float | None = None
    """A value that a thin line marks."""
    paired: bool = False
    """True where the second curve speaks of the same as the first, so that both must be seen where they coincide."""

    @property
    def steps(self) -> int:
        """Where the axis ends."""
        return max(len(curve.values) for curve in self.curves)

    @property
    def powers(self) -> bool:
        """True where the axis goes by powers of ten."""
        seen = [one for curve in self.curves for one in curve.values if one is not None and 0 < one < math.inf]
        return self.log and len(seen) > 0 and max(seen) > 30 * min(seen)

    def end(self, curve: Curve) -> int | None:
        """The step at which a curve is marked to end: where that is before the axis does, on a value it can show."""
        last = end(curve.values)
        value = curve.values[last - 1] if 0 < last < self.steps else None
        shown = value is not None and math.isfinite(value) and (value > 0 or not self.powers)
        return last if shown else None


@dataclass(frozen=True, slots=True)
class Scatter:
    """One figure against another, a point a step, both axes by powers of ten, with the line where they are equal."""

    across: str
    up: str
    unit: str
    points: tuple[tuple[tuple[float, float], ...], ...]
    """For each recording the points that can stand on such axes: both positive and finite."""
    left_out: int
    """Points that can't."""


@dataclass(frozen=True, slots=True)
class PrintFigure:
    """One figure."""

    name: str
    columns: int
    panels: tuple[Panel | Scatter, ...]
    """Row by row."""
    caption: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What all figures of one export are made from."""

    subjects: tuple[Subject, ...]
    own: bool = False
    """Each model on its own context in place of both on the shared one."""
    warnings: tuple[str, ...] = ()
    """What makes the recordings' figures not comparable."""

    @property
    def scope(self) -> Scope:
        return Scope.OWN if self.own else Scope.SHARED

    @property
    def free(self) -> bool:
        """True where shared and own differ in any of the recordings."""
        return any(not record.same_context for subject in self.subjects for record in subject.records)
