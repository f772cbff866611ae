"""The three spaces of an item: at its deciding position, or their means where several positions decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

from probes.schema.explanation import SpaceFigures
from probes.schema.record import Comparison, HiddenFigures, LogitFigures, ProbabilityFigures
from probes.stepping.cached_model import NextTokenOutput
from probes.stepping.distribution import Distribution
from probes.stepping.spaces import compare

Figures = TypeVar("Figures", HiddenFigures, LogitFigures, ProbabilityFigures)


def comparisons(dense: NextTokenOutput, pruned: NextTokenOutput) -> list[Comparison]:
    """The three spaces at each position of two finite outputs, at temperature 1."""
    return compare(dense.hidden, pruned.hidden, Distribution(dense.logits), Distribution(pruned.logits))


def mean_spaces(found: Sequence[Comparison]) -> SpaceFigures | None:
    """The means of all figures over several positions, ranks rounded; None if there are none."""
    if not found:
        return None
    return SpaceFigures(
        _mean([one.h for one in found]), _mean([one.z for one in found]), _mean([one.p for one in found])
    )


def _mean(rows: Sequence[Figures]) -> Figures:
    means: dict[str, Any] = {}
    for field in fields(rows[0]):
        values = [getattr(row, field.name) for row in rows]
        mean = math.fsum(values) / len(values)
        means[field.name] = round(mean) if isinstance(values[0], int) else mean
    return type(rows[0])(**means)
