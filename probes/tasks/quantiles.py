"""Quantiles of any number of values in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from probes.schema.score import QUANTILES, Spread

EXACT = 1 << 20
"""The most values that are kept, 8 MiB; up to so many the quantiles are exact."""
_FINE = 1024
"""Bins for each factor of two, of more values than that."""
_LEAST = 60
"""Absolute values below 2^-60 count as 0."""
_BINS = 160 * _FINE
ERROR = 2 ** (1 / _FINE) - 1
"""The largest relative error of a quantile of more than `EXACT` values: 0.07 %."""


class Quantiles:
    """The values themselves up to `EXACT`, then how many are in each of many bins by sign and logarithm."""

    def __init__(self) -> None:
        self._values: list[np.ndarray] = []
        self._count = 0
        self._bins: np.ndarray | None = None
        self._ends = np.array([np.inf, -np.inf])

    def add(self, values: np.ndarray) -> None:
        """Adds finite values."""
        if not len(values):
            return
        self._count += len(values)
        self._ends = np.array([min(self._ends[0], values.min()), max(self._ends[1], values.max())])
        if self._bins is None:
            self._values.append(np.array(values, dtype=np.float64))
            if self._count > EXACT:
                held, self._values = np.concatenate(self._values), []
                self._bins = np.zeros(2 * _BINS + 1, dtype=np.int64)
                self._count_bins(held)
        else:
            self._count_bins(values)

    def spread(self) -> Spread:
        """Minimum, quantiles and maximum, linear between neighbouring values while all are kept; NaN of no
        values."""
        if not self._count:
            return Spread(math.nan, (math.nan,) * len(QUANTILES), math.nan)
        least, most = (float(end) for end in self._ends)
        if self._bins is None:
            found = np.quantile(np.concatenate(self._values), QUANTILES)
            return Spread(least, tuple(map(float, found)), most)
        return Spread(least, tuple(self._of_bins(share, least, most) for share in QUANTILES), most, ERROR)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that was added, to go on from with `restore`."""
        kept = np.concatenate([np.zeros(0), *self._values])
        return {"kept": kept, "bins": np.zeros(0, np.int64) if self._bins is None else self._bins, "ends": self._ends}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over what `state` gave."""
        kept, bins, self._ends = state["kept"], state["bins"], state["ends"]
        self._values = [kept] if len(kept) else []
        self._bins = bins if len(bins) else None
        self._count = len(kept) if self._bins is None else int(bins.sum())

    def _count_bins(self, values: np.ndarray) -> None:
        assert self._bins is not None
        with np.errstate(divide="ignore"):
            place = np.floor((np.log2(np.abs(values)) + _LEAST) * _FINE) + 1
        signed = np.sign(values) * np.clip(place, 0, _BINS)
        self._bins += np.bincount(signed.astype(np.int64) + _BINS, minlength=2 * _BINS + 1)

    def _of_bins(self, share: float, least: float, most: float) -> float:
        assert self._bins is not None
        place = int(np.searchsorted(np.cumsum(self._bins), share * (self._count - 1), side="right")) - _BINS
        middle = 2 ** ((abs(place) - 0.5) / _FINE - _LEAST) if place else 0.0
        return min(max(middle if place > 0 else -middle, least), most)


def quantile_names(shares: Sequence[float] = QUANTILES) -> tuple[str, ...]:
    """ "0.1 %" for each share."""
    return tuple(f"{100 * share:g} %" for share in shares)
