"""The parts of a figure as plain data: recordings, curves, panels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from explorer.recordings.export.series import end
from explorer.words.figures import Scope
from probes.schema.explanation import Layers
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord


@dataclass(frozen=True, slots=True)
class Subject:
    """One recording that is drawn."""

    label: str
    header: RunHeader
    records: Sequence[StepRecord]
    layers: Mapping[int, Layers] = field(default_factory=dict)
    """By step, its figures by layer, if it was explained."""

    @property
    def split(self) -> int | None:
        return self.records[-1].sum.first_split


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the steps of one recording."""

    label: str
    """Its name among the curves of its recording ("measured"); if there is one curve, the recording's name."""
    values: tuple[float | None, ...]
    """Index 0 is step 1; None if a step has no such figure. May be infinite or undefined."""
    subject: int
    """The place of its recording."""
    variant: int = 0
    """Tells curves of one recording in one panel apart: 0 is the main one."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that share an axis."""

    axis: str
    """The label of the axis: "cos h"."""
    curves: tuple[Curve, ...]
    unit: str = ""
    log: bool = False
    """By powers of ten, if the values span more than a factor of thirty."""
    ceiling: float | None = None
    """A bound no value can pass, which the axis then ends at."""
    guide: float | None = None
    """A value that a thin line marks."""
    paired: bool = False
    """True if the second curve is of the same figure as the first, so that both must be visible if they coincide."""

    @property
    def steps(self) -> int:
        """The last step of the axis."""
        return max(len(curve.values) for curve in self.curves)

    @property
    def powers(self) -> bool:
        """Does the axis go by powers of ten?"""
        seen = [one for curve in self.curves for one in curve.values if one is not None and 0 < one < math.inf]
        return self.log and len(seen) > 0 and max(seen) > 30 * min(seen)

    def end(self, curve: Curve) -> int | None:
        """The step at which the end of a curve is marked, if it is before the axis ends and on a value it can show."""
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
    """For each recording the points with two positive and finite values."""
    left_out: int
    """Other points."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """One figure of every sublayer at every step that was explained, by shades and by powers of ten."""

    title: str
    unit: str
    rows: tuple[str, ...]
    """The sublayers in the order of the stream, the first one lowest."""
    values: tuple[tuple[float | None, ...], ...]
    """For each row its steps, from step 1; None if the step was not explained. May be infinite or undefined."""
    split: int | None
    """The first step at which the choices differ, which a dotted line marks."""


@dataclass(frozen=True, slots=True)
class PrintFigure:
    """One figure."""

    name: str
    columns: int
    panels: tuple[Panel | Scatter | HeatMap, ...]
    """Row by row."""
    caption: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """The recordings of one export, and how they are drawn."""

    subjects: tuple[Subject, ...]
    own: bool = False
    """Each model on its own context in place of both on the shared one."""
    warnings: tuple[str, ...] = ()
    """Sentences on why the recordings' figures are not comparable."""

    @property
    def scope(self) -> Scope:
        return Scope.OWN if self.own else Scope.SHARED

    @property
    def free(self) -> bool:
        """Do shared and own figures differ in any of the recordings?"""
        return any(not record.same_context for subject in self.subjects for record in subject.records)
