"""Adds up the figures of positions, window by window, in memory that does not grow with the text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from probes.schema.score import CERTAINTIES, Estimate, GroupScore, SpaceMeans, TextScore
from probes.tasks.position_sums import PositionFigures
from probes.tasks.quantiles import Quantiles
from probes.tasks.token_kinds import KINDS

_MEANS = (
    *("kl", "kl_reverse", "log_ratio", "dp", "dp_square", "nll_dense", "nll_pruned", "same_top"),
    *("h", "z", "p", "h_estimate", "p_estimate", "kl_estimate"),
)
_OCTAVES = 32
_CERTAINTY_NAMES = tuple(
    f"[{low:g}, {high:g}{']' if high == 1 else ')'}"
    for low, high in zip((0.0, *CERTAINTIES), (*CERTAINTIES, 1.0), strict=True)
)
_PLACE_NAMES = tuple("1" if n == 0 else f"{2**n:,} to {2 ** (n + 1) - 1:,}" for n in range(_OCTAVES))
_GROUPS = {"certainty": _CERTAINTY_NAMES, "place": _PLACE_NAMES, "kind": KINDS}


class ClusteredSums:
    """The sums from which a mean over positions has its standard errors, for several rows of figures at once.

    Of each row: a pivot c, which is the first value and keeps the digits of the errors; the positions n, Σ(x - c) and
    Σ(x - c)²; of its windows w, with sums s of x - c and numbers n of positions, how many have any, Σs², Σsn and Σn².
    """

    def __init__(self, rows: int) -> None:
        self.sums = np.zeros((rows, 8))

    def add(self, row: int, values: np.ndarray, windows: np.ndarray, count: int) -> None:
        """Adds the values of positions in windows 0 to `count` - 1, all of each window at once."""
        if not len(values):
            return
        if not self.sums[row, 1]:
            self.sums[row, 0] = values[0]
        apart = values - self.sums[row, 0]
        s = np.bincount(windows, apart, count)
        n = np.bincount(windows, minlength=count).astype(np.float64)
        self.sums[row, 1:] += (n.sum(), s.sum(), apart @ apart, (n > 0).sum(), s @ s, s @ n, n @ n)

    def positions(self, row: int) -> int:
        """How many values were added."""
        return int(self.sums[row, 1])

    def estimate(self, row: int) -> Estimate:
        """The mean m, with √(W/(W-1) Σ(s - mn)²) / n by window, the linearised error of a ratio; and naively. NaN of no
        values."""
        pivot, n, total, square, windows, ss, sn, nn = map(float, self.sums[row])
        if not n:
            return Estimate(math.nan, None, None)
        mean = total / n
        naive = math.sqrt(max(0.0, square - n * mean * mean) / (n - 1) / n) if n > 1 else None
        apart = max(0.0, ss - 2 * mean * sn + mean * mean * nn)
        clustered = math.sqrt(windows / (windows - 1) * apart) / n if windows > 1 else None
        return Estimate(pivot + mean, clustered, naive)


class ScoreTally:
    """The figures of one second model so far. If it is `bounded`, the KLs are lower bounds, against a reference."""

    def __init__(self, name: str, *, bounded: bool = False) -> None:
        self.name, self.bounded = name, bounded
        self._upper = ClusteredSums(1)
        self._means = ClusteredSums(len(_MEANS))
        self._groups = {group: ClusteredSums(len(names)) for group, names in _GROUPS.items()}
        self._same = {group: np.zeros(len(names)) for group, names in _GROUPS.items()}
        self._spreads = {"kl": Quantiles(), "dp": Quantiles()}
        self._counts = np.zeros(3, dtype=np.int64)
        """Windows, and positions at which the dense and only the second model are not finite."""

    def add(
        self,
        found: PositionFigures,
        windows: np.ndarray,
        places: np.ndarray,
        kinds: np.ndarray,
        upper: np.ndarray | None = None,
    ) -> None:
        """Adds the positions of some whole windows, numbered from 0 in `windows`, (n,). `places` is the number of
        tokens before each in its window, `kinds` the kind of its token, `upper` the upper bound of its KL."""
        count = int(windows[-1]) + 1
        bad_dense = int((found.finite_dense == 0).sum())
        bad = int(((found.finite_dense > 0) & (found.finite_pruned == 0)).sum())
        self._counts += (count, bad_dense, bad)
        p, q = np.exp(found.log_p), np.exp(found.log_q)
        columns = {
            "kl": found.kl,
            "kl_reverse": found.kl_reverse,
            "log_ratio": found.log_p - found.log_q,
            "dp": q - p,
            "dp_square": (q - p) ** 2,
            "nll_dense": -found.log_p,
            "nll_pruned": -found.log_q,
            **{name: getattr(found, name) for name in _MEANS[7:]},
        }
        whole = np.isfinite(found.kl)
        for row, name in enumerate(_MEANS):
            self._means.add(row, columns[name][whole], windows[whole], count)
        if upper is not None:
            self._upper.add(0, upper[whole], windows[whole], count)
        for name, quantiles in self._spreads.items():
            quantiles.add(columns[name][whole])
        members = {
            "certainty": np.searchsorted(CERTAINTIES, np.nan_to_num(found.top_p), side="right"),
            "place": np.log2(places).astype(np.int64),
            "kind": kinds,
        }
        for group, numbers in members.items():
            for number in np.unique(numbers[whole]):
                chosen = whole & (numbers == number)
                self._groups[group].add(int(number), found.kl[chosen], windows[chosen], count)
                self._same[group][number] += found.same_top[chosen].sum()

    def result(self) -> TextScore:
        """The figures of all positions that were added."""
        of = {name: self._means.estimate(row) for row, name in enumerate(_MEANS)}
        ratio = math.exp(of["log_ratio"].mean)
        return TextScore(
            name=self.name,
            positions=self._means.positions(0),
            windows=int(self._counts[0]),
            nonfinite_dense=int(self._counts[1]),
            nonfinite_pruned=int(self._counts[2]),
            ppl_dense=math.exp(of["nll_dense"].mean),
            ppl_pruned=math.exp(of["nll_pruned"].mean),
            ppl_ratio=Estimate(ratio, _times(of["log_ratio"].se, ratio), _times(of["log_ratio"].se_naive, ratio)),
            kl=of["kl"],
            kl_upper=self._upper.estimate(0) if self.bounded else None,
            kl_spread=self._spreads["kl"].spread(),
            kl_reverse=None if self.bounded else of["kl_reverse"],
            dp=of["dp"],
            dp_rms=math.sqrt(of["dp_square"].mean),
            dp_spread=self._spreads["dp"].spread(),
            same_top=of["same_top"].mean,
            by_certainty=self._group("certainty"),
            by_place=self._group("place"),
            by_kind=self._group("kind"),
            spaces=None if self.bounded else SpaceMeans(*(of[name].mean for name in _MEANS[8:])),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Everything that was added, to go on from with `restore`."""
        found = {"means": self._means.sums, "counts": self._counts}
        for group in _GROUPS:
            found |= {f"{group}.sums": self._groups[group].sums, f"{group}.same": self._same[group]}
        for name, quantiles in self._spreads.items():
            found |= {f"{name}.{key}": value for key, value in quantiles.state().items()}
        return found

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over what `state` gave."""
        self._means.sums, self._counts = state["means"], state["counts"]
        for group in _GROUPS:
            self._groups[group].sums, self._same[group] = state[f"{group}.sums"], state[f"{group}.same"]
        for name, quantiles in self._spreads.items():
            quantiles.restore({key: state[f"{name}.{key}"] for key in quantiles.state()})

    def _group(self, group: str) -> tuple[GroupScore, ...]:
        """The groups that have any positions."""
        sums, same, names = self._groups[group], self._same[group], _GROUPS[group]
        rows = [(row, sums.positions(row)) for row in range(len(names)) if sums.positions(row)]
        estimates: Sequence[Estimate] = [sums.estimate(row) for row, _ in rows]
        return tuple(
            GroupScore(names[row], n, one.mean, one.se, float(same[row]) / n)
            for (row, n), one in zip(rows, estimates, strict=True)
        )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
