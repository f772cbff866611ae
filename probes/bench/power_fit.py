"""Fits how a time grows with a size: seconds ∝ size^exponent, by least squares of the logarithms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from probes.system.progress import UNWATCHED, Work

SLACK = 0.1
"""What an exponent may be above its limit, if its standard error does not allow more."""


@dataclass(frozen=True, slots=True)
class PowerFit:
    """The exponent of a power law, over the sizes that it was fitted to."""

    exponent: float
    error: float
    """The standard error of the exponent, from the residuals with n - 2 degrees of freedom; nan with two sizes."""


@dataclass(frozen=True, slots=True)
class GrowthCurve:
    """How the time of one thing grows with one size."""

    what: str
    over: str
    """What grows, with its unit."""
    sizes: tuple[float, ...]
    seconds: tuple[float, ...]
    """The least of each size's rounds, which are taken in turn with those of the other sizes: the one that other
    programs disturbed least."""
    limit: float = 1.0
    """The largest exponent that the time may grow with: linear, unless attention itself is meant."""

    @property
    def fit(self) -> PowerFit:
        return fit_power(self.sizes, self.seconds)

    @property
    def within(self) -> bool:
        """Is the exponent at most the limit, but for two standard errors or a tenth?"""
        error = self.fit.error
        return self.fit.exponent <= self.limit + max(SLACK, 2 * error if math.isfinite(error) else 0.0)


def fit_power(sizes: Sequence[float], seconds: Sequence[float]) -> PowerFit:
    """The slope of log seconds over log sizes. Both are positive; at least two sizes differ."""
    xs, ys = ([math.log(value) for value in values] for values in (sizes, seconds))
    x_mean, y_mean = fmean(xs), fmean(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread
    left = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in zip(xs, ys, strict=True))
    freedom = len(xs) - 2
    return PowerFit(slope, math.sqrt(left / freedom / spread) if freedom > 0 else math.nan)


def measure_curve(
    what: str,
    over: str,
    timers: Mapping[float, Callable[[], float]],
    *,
    rounds: int = 5,
    limit: float = 1.0,
    work: Work = UNWATCHED,
) -> GrowthCurve:
    """Times all sizes in turn, so that other load affects them alike. A timer gives seconds; a first round of each is
    not counted."""
    found: dict[float, list[float]] = {size: [] for size in timers}
    for number in range(rounds + 1):
        for size, timer in timers.items():
            found[size].append(timer())
        work.report(f"Timing: {what} over {over}", number + 1, rounds + 1, "rounds")
    least = tuple(min(found[size][1:]) for size in timers)
    return GrowthCurve(what, over, tuple(timers), least, limit)
