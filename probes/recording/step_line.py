"""The line of a step, decoded in one go: a recording consists of almost nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from probes.schema.bounds import Bounded, Natural
from probes.schema.flat_step import FlatStep
from probes.schema.record import Comparison, HiddenFigures, LogitFigures, ProbabilityFigures, StepRecord, Watched


class StepLine(FlatStep, frozen=True):
    """A step and the keys that any line may have."""

    kind: str = ""
    run: Natural = 0
    branch: Natural = 0
    at: Bounded = 0.0
    seconds: Bounded = 0.0
    format: int | None = None
    nonfinite: msgspec.Raw | None = None

    @property
    def usual(self) -> bool:
        """Is nothing in this line that needs more than decoding?"""
        return self.kind == "step" and self.format is None and self.nonfinite is None


@dataclass(frozen=True, slots=True)
class _WithoutTable:
    """A comparison whose table of next tokens is passed over."""

    h: HiddenFigures
    z: LogitFigures
    p: ProbabilityFigures
    watched: Watched | None = None


class _FiguresLine(StepLine, frozen=True, kw_only=True):
    """A step's line, of which the tables of next tokens are passed over: most of its length, and of the time and memory
    that reading it takes."""

    shared: _WithoutTable | None  # type: ignore[assignment]  # it becomes a `Comparison` in `record`
    top: msgspec.Raw  # type: ignore[assignment]

    def record(self) -> StepRecord:
        shared: Any = self.shared
        return self.record_with((), shared and Comparison(shared.h, shared.z, shared.p, (), shared.watched))


_STEP_LINE: msgspec.json.Decoder[StepLine] = msgspec.json.Decoder(StepLine)
_FIGURES_LINE: msgspec.json.Decoder[StepLine] = msgspec.json.Decoder(_FiguresLine)


def usual_step(raw: bytes, *, tables: bool = True) -> StepLine | None:
    """The line, if it is a step's as it is written with all figures finite; None of any other, also of a damaged one.

    Without `tables`, the record has no tables of next tokens; they must be JSON in the line, but need not hold tokens.
    """
    if not raw.startswith(_OPENING):
        return None
    try:
        line = (_STEP_LINE if tables else _FIGURES_LINE).decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return line if line.usual else None


_OPENING = b'{"kind":"step",'


def without_tables(record: StepRecord) -> StepRecord:
    """The same step without its tables of next tokens."""
    own, shared = record.own and replace(record.own, top=()), record.shared and replace(record.shared, top=())
    return replace(record, own=own, shared=shared)
