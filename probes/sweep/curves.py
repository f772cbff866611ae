"""What a sweep found, as curves: each task's score against the amount, its knee, and the Pareto view.

Pure functions of a sweep, without torch. The rules are in docs/figures.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from probes.schema.summary import summary_value
from probes.schema.sweep import Cell, CellResult, Curve, CurvePoint, Doubt, Held, Sweep, Tradeoff
from probes.schema.verdict import Interval, Outcome, TaskVerdict
from probes.tasks.judge import rejudged

PROMPT_FIGURE = "kl_shared.mean"
"""The figure of a prompt's curve, unless another is chosen: the mean KL a step on the shared context."""
_HELD: dict[Outcome, tuple[Held, Doubt | None]] = {
    Outcome.SAFE: (Held.SAFE, None),
    Outcome.BROKEN: (Held.BROKEN, None),
    Outcome.NOTHING_TO_LOSE: (Held.UNDECIDED, Doubt.NOTHING_TO_LOSE),
    Outcome.TOO_FEW: (Held.UNDECIDED, Doubt.TOO_FEW),
    Outcome.BORDERLINE: (Held.UNDECIDED, Doubt.BORDERLINE),
}


def results_by_key(sweep: Sweep) -> dict[str, CellResult]:
    """The result that counts of each cell, by the text of its key: the last one without an error, else the last one."""
    found: dict[str, CellResult] = {}
    for result in sweep.results:
        key = str(result.cell.key)
        if result.error is None or key not in found or found[key].error is not None:
            found[key] = result
    return found


def curves(sweep: Sweep, figure: str = PROMPT_FIGURE, margin: float | None = None) -> tuple[Curve, ...]:
    """A curve for each task and family, in the order of the sweep's cells.

    `figure` is that of prompts, a dotted name in `Summary`. `margin` judges the points by another margin than the
    sweep's own, 0 to 1; the intervals keep the level that the cells were computed with.
    """
    margin = sweep.header.margin if margin is None else margin
    found = results_by_key(sweep)
    groups: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in sweep.header.cells:
        groups.setdefault((cell.task, cell.family), {}).setdefault(str(cell.key), cell)
    dense: dict[str, TaskVerdict] = {}
    for cell in sweep.header.cells:
        result = found.get(str(cell.key))
        if result is not None and result.row is not None:
            dense.setdefault(cell.task, result.row)
    made = []
    for (task, family), cells in groups.items():
        there = {key: found.get(key) for key in cells}
        points = _points(cells, there, lambda result: _seed(result, figure, margin, sweep.header.level))
        row = dense.get(task)
        of_prompt = figure if any(one is not None and one.run is not None for one in there.values()) else ""
        made.append(
            Curve(
                task,
                row.kind if row is not None else None,
                family,
                row.figure if row is not None else of_prompt,
                row.dense.value if row is not None else None,
                row.chance if row is not None else None,
                margin,
                points,
                knee(points),
            )
        )
    return tuple(made)


def rejudged_sweep(sweep: Sweep, margin: float) -> Sweep:
    """The sweep with its rows judged by another margin, 0 to 1, at its own level."""
    if margin == sweep.header.margin:
        return sweep
    level = sweep.header.level
    results = tuple(
        one if one.row is None else replace(one, row=rejudged(one.row, margin, level)) for one in sweep.results
    )
    return Sweep(replace(sweep.header, margin=margin), results)


def knee(points: Sequence[CurvePoint]) -> int | None:
    """The index of the largest amount that is safe, as is every smaller one; of equal amounts, the last safe one.

    `points` ascend by amount. None if no amount is.
    """
    place = None
    for index, point in enumerate(points):
        smaller = (one for one in points[:index] if one.amount != point.amount)
        if point.held is Held.SAFE and all(one.held is Held.SAFE for one in smaller):
            place = index
    return place


def pareto(of: Iterable[Curve], *, higher_is_better: bool = False) -> tuple[Tradeoff, ...]:
    """The points of some curves as parameters removed against score lost, task by task, each by parameters removed.

    Points without a figure are left out. `higher_is_better` concerns the figure of prompts only.
    """
    by_task: dict[str, list[Tradeoff]] = {}
    for curve in of:
        by_task.setdefault(curve.task, []).extend(_tradeoffs(curve, -1.0 if higher_is_better else 1.0))
    made = []
    for points in by_task.values():
        points.sort(key=lambda one: (one.removed, one.lost))
        made += [replace(one, front=not any(_dominates(other, one) for other in points)) for one in points]
    return tuple(made)


@dataclass(frozen=True, slots=True)
class _Seed:
    """One cell of a point."""

    held: Held
    doubt: Doubt | None = None
    value: Interval | None = None
    difference: Interval | None = None
    items_needed: int | None = None


def _seed(result: CellResult | None, figure: str, margin: float, level: float) -> _Seed:
    if result is None:
        return _Seed(Held.UNDECIDED, Doubt.MISSING)
    if result.row is not None and result.error is None:
        row = result.row
        if not _finite(row.dense, row.pruned, row.difference):
            return _Seed(Held.UNDECIDED, Doubt.NOT_FINITE)
        row = rejudged(row, margin, level)
        held, doubt = _HELD[row.outcome] if row.final else (Held.UNDECIDED, Doubt.MISSING)
        return _Seed(held, doubt, row.pruned, row.difference, row.items_needed)
    if result.run is not None and result.error is None:
        value = summary_value(result.run, figure)
        if value is None or not math.isfinite(value):
            return _Seed(Held.UNDECIDED, Doubt.NOT_FINITE)
        return _Seed(Held.UNDECIDED, Doubt.UNJUDGED, Interval(value, value, value))
    return _Seed(Held.UNDECIDED, Doubt.ERROR)


def _points(
    cells: dict[str, Cell], found: dict[str, CellResult | None], read: Callable[[CellResult | None], _Seed]
) -> tuple[CurvePoint, ...]:
    """A point for each setting, ascending by amount. `cells` and `found` are by the text of the key."""
    by_setting: dict[str, list[str]] = {}
    for key, cell in cells.items():
        by_setting.setdefault(cell.setting, []).append(key)
    points = [
        _point(cells[keys[0]], [found[key] for key in keys], [read(found[key]) for key in keys])
        for keys in by_setting.values()
    ]
    return tuple(sorted(points, key=lambda one: -math.inf if one.amount is None else one.amount))


def _point(cell: Cell, results: Sequence[CellResult | None], seeds: Sequence[_Seed]) -> CurvePoint:
    values = [one.value for one in seeds if one.value is not None]
    value, difference = _joined(values), _joined([one.difference for one in seeds if one.difference is not None])
    removed = [
        one.removed.share for one in results if one is not None and one.error is None and one.removed is not None
    ]
    errors = [one.error for one in results if one is not None and one.error is not None]
    worst = min(seeds, key=lambda one: (_WORST.index(one.held), _DOUBTS.index(one.doubt) if one.doubt else 0))
    return CurvePoint(
        cell.amount,
        cell.setting,
        math.fsum(removed) / len(removed) if removed else None,
        value.value if value else None,
        value.low if value else None,
        value.high if value else None,
        difference,
        worst.held,
        worst.doubt,
        len(values),
        len(results),
        tuple(dict.fromkeys(f"{error.title}: {error.message}" for error in errors)),
        max((one.items_needed for one in seeds if one.items_needed is not None), default=None),
    )


_WORST = (Held.BROKEN, Held.UNDECIDED, Held.SAFE)
_DOUBTS = tuple(Doubt)


def _finite(*intervals: Interval) -> bool:
    return all(math.isfinite(end) for one in intervals for end in (one.value, one.low, one.high))


def _joined(intervals: Sequence[Interval]) -> Interval | None:
    """The mean of the values, from the lowest end to the highest one; None if there are none."""
    if not intervals:
        return None
    mean = math.fsum(one.value for one in intervals) / len(intervals)
    return Interval(mean, min(map(attrgetter("low"), intervals)), max(map(attrgetter("high"), intervals)))


def _tradeoffs(curve: Curve, sign: float) -> list[Tradeoff]:
    made = []
    for point in curve.points:
        if point.removed is None or point.value is None or point.low is None or point.high is None:
            continue
        if point.difference is not None:
            lost = [-point.difference.value, -point.difference.high, -point.difference.low]
        else:
            lost = [sign * point.value, *sorted((sign * point.low, sign * point.high))]
        value, low, high = (one + 0.0 for one in lost)  # 0.0 instead of -0.0
        made.append(
            Tradeoff(
                curve.task,
                point.setting,
                curve.family,
                point.amount,
                point.removed,
                value,
                low,
                high,
                point.held,
                point.doubt,
                front=False,
            )
        )
    return made


def _dominates(one: Tradeoff, other: Tradeoff) -> bool:
    """Is `one` as good as the other in both, and better in one of them?"""
    if one.removed < other.removed or one.lost > other.lost:
        return False
    return one.removed > other.removed or one.lost < other.lost
