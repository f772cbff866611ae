"""One figure over the steps of a recording, for drawing. Steps without a measurement have no value."""

from __future__ import annotations

import math
from collections.abc import Sequence

from explorer.words.figures import Scope, value
from probes.schema.record import StepRecord

Number = float | str | None
"""A figure as the page's JSON can hold it: "inf", "-inf" and "nan" are text."""


def series(records: Sequence[StepRecord], key: str, scope: Scope) -> list[float | None]:
    """The figure at each step, None if a step has none.

    A sum and survival stay what they were while nothing is added to them: they end with the last step that added.
    """
    values = [value(record, key, scope) for record in records]
    if key.startswith("sum."):
        kept = measured_until(records, Scope.SHARED if key == "sum.survival" else scope)
        values[kept:] = [None] * (len(values) - kept)
    return values


def measured_until(records: Sequence[StepRecord], scope: Scope) -> int:
    """The last step with a comparison of this kind: each model on its own context, or both on one; 0 without any."""
    return max((step for step, r in enumerate(records, 1) if value(r, "p.kl", scope) is not None), default=0)


def end(values: Sequence[float | str | None]) -> int:
    """The step of the last value there is; 0 without any."""
    return max((step for step, one in enumerate(values, 1) if one is not None), default=0)


def page_number(found: float | None) -> Number:
    """A figure for the page, in six significant digits."""
    if found is None:
        return None
    return float(f"{found:.6g}") if math.isfinite(found) else str(found)
