"""Intervals of scores and of paired differences of scores, and the exact test of paired answers; numpy only.

The shares of right answers lie near 1 or near chance and the items are few, where Wald's intervals (estimate ± z
standard errors) cover much less than they state. None is used here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from probes.schema.verdict import DRAWS, LEVEL, Interval

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paired:
    """How many items both models have right, only one of them, or neither. The counts may be fractions: a table that is
    scaled up says what more items would give at the present estimate."""

    both: float
    only_dense: float
    only_pruned: float
    neither: float

    @classmethod
    def of(cls, dense: Sequence[bool], pruned: Sequence[bool]) -> Paired:
        """Counts items; both sequences have one entry an item, in the same order."""
        pairs = list(zip(dense, pruned, strict=True))
        return cls(*(float(pairs.count(one)) for one in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def items(self) -> float:
        return self.both + self.only_dense + self.only_pruned + self.neither

    def scaled(self, items: float) -> Paired:
        """The same shares among another number of items."""
        factor = items / self.items
        return Paired(*(factor * one for one in (self.both, self.only_dense, self.only_pruned, self.neither)))


def normal_quantile(level: float) -> float:
    """The z of a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(right: float, items: float, level: float = LEVEL) -> Interval:
    """The score interval of a share, right / items (Wilson 1927, JASA 22:209-212, without continuity correction).

    The shares π for which |right / items - π| ≤ z √(π (1 - π) / items). Without items it is 0 to 1, and its value 0.
    """
    if not items:
        return Interval(0.0, 0.0, 1.0)
    z, share = normal_quantile(level), right / items
    centre = right + z * z / 2
    half = z * math.sqrt(right * (1 - share) + z * z / 4)
    # At the ends the two terms are equal, and rounding must leave exactly 0 and 1.
    low = 0.0 if right <= 0 else (centre - half) / (items + z * z)
    high = 1.0 if right >= items else (centre + half) / (items + z * z)
    return Interval(share, low, high)


def difference_interval(table: Paired, level: float = LEVEL) -> Interval:
    """The hybrid score interval of a difference of two paired shares, pruned minus dense: method 10 of Newcombe (1998,
    Statistics in Medicine 17:2635-2650).

    Combines both Wilson intervals by √(a² - 2φ a b + b²), where a and b are the distances of an estimate from the end
    of its own interval, and φ is the correlation of both models' answers. A positive φ is corrected: its numerator is
    lowered by half the number of items, but not below 0. From -1 to 1; without items it is that, and its value 0.
    """
    if not table.items:
        return Interval(0.0, -1.0, 1.0)
    dense = wilson(table.both + table.only_dense, table.items, level)
    pruned = wilson(table.both + table.only_pruned, table.items, level)
    difference = (table.only_pruned - table.only_dense) / table.items
    phi = _corrected_phi(table)
    below = _hybrid(pruned.value - pruned.low, dense.high - dense.value, phi)
    above = _hybrid(pruned.high - pruned.value, dense.value - dense.low, phi)
    return Interval(difference, max(-1.0, difference - below), min(1.0, difference + above))


def _hybrid(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))


def _corrected_phi(table: Paired) -> float:
    both, dense, pruned, neither = table.both, table.only_dense, table.only_pruned, table.neither
    margins = (both + dense) * (pruned + neither) * (both + pruned) * (dense + neither)
    if margins <= 0:
        return 0.0
    found = both * neither - dense * pruned
    if found > 0:
        found = max(0.0, found - table.items / 2)
    return found / math.sqrt(margins)


def mcnemar(only_dense: int, only_pruned: int) -> float:
    """The exact two-sided p of McNemar's test: how likely is so uneven a split of the items that only one model has
    right, if either model is as likely to be that one?

    2 P(X ≤ the smaller count) for X ~ Bin(both counts, ½), at most 1; 1 if there is no such item.
    """
    of, fewer = only_dense + only_pruned, min(only_dense, only_pruned)
    if 2 * fewer >= of:
        return 1.0
    # The sum in parts of its largest term, which is taken from whole numbers: no logarithm's rounding enters.
    total = term = 1.0
    for count in range(fewer, 0, -1):
        term *= count / (of - count + 1)
        total += term
        if term < total * 1e-18:
            break
    largest: float = math.comb(of, fewer) / 2**of
    return min(1.0, 2 * total * largest)


def bootstrap_interval(
    dense: Sequence[float], pruned: Sequence[float], level: float = LEVEL, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The interval of the mean of pruned minus dense, by a paired bootstrap: BCa (Efron 1987, JASA 82:171-185).

    Draws items with replacement, both scores of an item together. If no two items differ, every draw is the same and
    says nothing; the interval is then as wide as that of a share of 0, in units of the range of the scores.
    """
    differences = np.subtract(np.asarray(pruned, np.float64), np.asarray(dense, np.float64))
    if not differences.size:
        return Interval(0.0, -1.0, 1.0)
    mean = float(differences.mean())
    if float(np.ptp(differences)) == 0:
        spread = max(float(np.ptp([*dense, *pruned])), 1.0) * wilson(0, differences.size, level).high
        return Interval(mean, mean - spread, mean + spread)
    drawn = np.sort(_drawn_means(differences, draws, seed))
    low, high = (float(np.quantile(drawn, share)) for share in _bca_shares(differences, drawn, mean, level))
    return Interval(mean, min(low, mean), max(high, mean))


def _drawn_means(values: Array, draws: int, seed: int) -> Array:
    """Means of `draws` samples with replacement, a slice at a time so that memory stays small."""
    rng = np.random.default_rng(seed)
    at_once = max(1, 2_000_000 // values.size)
    means = [
        values[rng.integers(0, values.size, (min(at_once, draws - start), values.size))].mean(axis=1)
        for start in range(0, draws, at_once)
    ]
    return np.concatenate(means)


def _bca_shares(values: Array, drawn: Array, mean: float, level: float) -> tuple[float, float]:
    """The shares of the sorted draws at which the interval ends."""
    normal = NormalDist()
    # Draws equal to the estimate count half: a score with few values has many.
    below = (np.count_nonzero(drawn < mean) + np.count_nonzero(drawn <= mean)) / 2
    bias = normal.inv_cdf(min(max(below / drawn.size, 0.5 / drawn.size), 1 - 0.5 / drawn.size))
    off = values - mean
    # A mean's jackknife values are off by -off / (n - 1), so its acceleration is the skewness / (6 √n).
    acceleration = float((off**3).sum() / (6 * (off**2).sum() ** 1.5))

    def share(quantile: float) -> float:
        z = bias + normal.inv_cdf(quantile)
        return normal.cdf(bias + z / (1 - acceleration * z))

    return share((1 - level) / 2), share((1 + level) / 2)
