"""Judges a setting: for each task, whether the pruned model keeps the dense one's score, with what the items can say.

The differences are paired: each item is answered by both models. The formulas are in docs/figures.md.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from probes.schema.errors import BadInput
from probes.schema.explanation import SpaceFigures
from probes.schema.items import ItemSet, TaskKind
from probes.schema.task_results import ItemResult
from probes.schema.verdict import (
    FEWEST_FOR_CHANCE,
    LEVEL,
    MARGIN_OF_SAFETY,
    MOST_NEEDED,
    Interval,
    Outcome,
    SpaceLoss,
    TaskResults,
    TaskVerdict,
    Verdict,
)
from probes.tasks.further_figures import further_figures
from probes.tasks.intervals import Paired, bootstrap_interval, difference_interval, mcnemar, wilson

FIGURES = {
    TaskKind.OPTIONS: "accuracy",
    TaskKind.CLASSIFICATION: "accuracy",
    TaskKind.RETRIEVAL: "top-1",
    TaskKind.GENERATION: "exact match",
}
MEAN_SCORE = "mean score"
"""The figure of a task whose items have scores between right and wrong."""


def judge(
    found: TaskResults,
    item_sets: Sequence[ItemSet],
    margin: float = MARGIN_OF_SAFETY,
    level: float = LEVEL,
    *,
    seconds_left: float | None = None,
) -> Verdict:
    """The verdict of the items scored so far; a row for each item set, in their order.

    Of an item that was scored twice, the later result counts; results of other tasks and items are left out. Raises
    `BadInput` for a margin or a level that is none.
    """
    check_judging(margin, level)
    by_task: dict[str, dict[str, ItemResult]] = {items.name: {} for items in item_sets}
    ids = {items.name: item_ids(items) for items in item_sets}
    for result in found.results:
        if result.item in ids.get(result.task, ()):
            by_task[result.task][result.item] = result
    rows = tuple(task_row(items, list(by_task[items.name].values()), margin, level) for items in item_sets)
    notes = [f"{items.name}: {note}" for items in item_sets for note in items.notes]
    notes += [note for items in item_sets for note in _item_notes(items.name, by_task[items.name].values())]
    return Verdict(
        found.dense,
        found.pruned,
        found.setting,
        margin,
        level,
        rows,
        done=sum(row.items for row in rows),
        of=sum(row.of for row in rows),
        seconds_left=seconds_left,
        notes=tuple(dict.fromkeys(notes)),
    )


def check_judging(margin: float, level: float) -> None:
    """Raises `BadInput` for a margin or a level that no verdict can be made with."""
    if not 0 <= margin < 1:
        raise BadInput("Margin", f"{margin:g} is no margin.", "Use a share from 0 to below 1: 0.02 is 2 points.")
    if not 0.5 <= level < 1:
        raise BadInput("Level", f"{level:g} is no level of an interval.", "Use a share from 0.5 to below 1: 0.95.")


def item_ids(items: ItemSet) -> frozenset[str]:
    """The ids of the items that are scored: questions, prompts, queries."""
    queries = items.collection.queries if items.collection else ()
    return frozenset(one.id for group in (items.questions, items.prompts, queries) for one in group)


def task_row(items: ItemSet, results: Sequence[ItemResult], margin: float, level: float) -> TaskVerdict:
    """The row of one task, from the items scored so far; without any, it is undecided."""
    table = Paired.of([one.dense.right for one in results], [one.pruned.right for one in results])
    graded = items.kind is not TaskKind.RETRIEVAL and any(
        answer.score != answer.right for one in results for answer in (one.dense, one.pruned)
    )
    if graded:
        scores = [one.dense.score for one in results], [one.pruned.score for one in results]
        dense, pruned = (bootstrap_interval([0.0] * len(results), one, level) for one in scores)
        difference = bootstrap_interval(scores[0], scores[1], level)
        needed = _scores_needed(difference, len(results), margin)
    else:
        dense = wilson(table.both + table.only_dense, table.items, level)
        pruned = wilson(table.both + table.only_pruned, table.items, level)
        difference = difference_interval(table, level)
        needed = _items_needed(table, margin, level) if results else None
    lost, gained = int(table.only_dense), int(table.only_pruned)
    outcome, needed = _outcome(len(results), items.chance, dense, difference, margin, needed, level)
    return TaskVerdict(
        items.name,
        items.kind,
        MEAN_SCORE if graded else FIGURES[items.kind],
        len(results),
        len(items),
        items.chance,
        dense,
        pruned,
        difference,
        None if graded or not lost + gained else mcnemar(lost, gained),
        lost,
        gained,
        sum(one.same for one in results) / len(results) if results else 0.0,
        outcome,
        needed,
        space_loss(results),
        further_figures(items, results, level),
    )


@lru_cache(maxsize=8192)
def rejudged(row: TaskVerdict, margin: float, level: float) -> TaskVerdict:
    """The row as `task_row` gives it at another margin or level, but for its further figures.

    A mean score keeps its intervals, which can't be made again without the items: `level` is then theirs.
    """
    dense, pruned, difference = row.dense, row.pruned, row.difference
    if row.figure == MEAN_SCORE:
        needed = _scores_needed(difference, row.items, margin)
    else:
        right = round(dense.value * row.items)
        table = Paired(right - row.lost, row.lost, row.gained, row.items - right - row.gained)
        dense = wilson(table.both + table.only_dense, table.items, level)
        pruned = wilson(table.both + table.only_pruned, table.items, level)
        difference = difference_interval(table, level)
        needed = _items_needed(table, margin, level) if row.items else None
    outcome, needed = _outcome(row.items, row.chance, dense, difference, margin, needed, level)
    return replace(row, dense=dense, pruned=pruned, difference=difference, outcome=outcome, items_needed=needed)


def exact_copy(row: TaskVerdict, margin: float, level: float) -> TaskVerdict:
    """The row of an exact copy of the dense model on the same items: can they show at all that a setting is safe?"""
    width = wilson(0, row.items, level).high
    copy = replace(row, pruned=row.dense, difference=Interval(0.0, -width, width), lost=0, gained=0, mcnemar=None)
    return rejudged(replace(copy, agreement=1.0), margin, level)


def fewest_for_safe(margin: float, level: float) -> int | None:
    """The fewest items that can show an exact copy of the dense model to be safe at this margin: if it has half of them
    right, for which the interval is narrowest. None if not even `MOST_NEEDED` do."""

    def shown(count: int) -> bool:
        right = count // 2
        return difference_interval(Paired(right, 0, 0, count - right), level).low >= -margin

    counts = range(1, MOST_NEEDED + 1)
    found = bisect_left(counts, True, key=shown)
    return counts[found] if found < len(counts) else None


def _outcome(
    count: int,
    chance: float,
    dense: Interval,
    difference: Interval,
    margin: float,
    needed: float | None,
    level: float,
) -> tuple[Outcome, int | None]:
    """What the items say, and about how many would decide it. `needed` is that number for the difference alone."""
    if not count:
        return Outcome.TOO_FEW, None
    if dense.low <= chance:
        if count >= FEWEST_FOR_CHANCE:
            return Outcome.NOTHING_TO_LOSE, None
        above = _until_above(dense.value, chance, count, level)
        return Outcome.TOO_FEW, max(above, math.ceil(min(needed or 0, MOST_NEEDED)))
    if difference.low >= -margin:
        return Outcome.SAFE, None
    if difference.high < -margin:
        return Outcome.BROKEN, None
    if needed is None or needed > MOST_NEEDED:
        return Outcome.BORDERLINE, None
    return Outcome.TOO_FEW, math.ceil(needed)


def _items_needed(table: Paired, margin: float, level: float) -> float | None:
    """The smallest number of items at which the difference's interval, of a table with the same shares, no longer holds
    minus the margin; None if not even `MOST_NEEDED` do it. The width falls with the items, so halving finds it."""

    def decided(items: int) -> bool:
        found = difference_interval(table.scaled(items), level)
        return found.low >= -margin or found.high < -margin

    least, most = math.ceil(table.items), MOST_NEEDED
    if least > most or not decided(most):
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if decided(middle) else (middle + 1, most)
    return most


def _scores_needed(difference: Interval, count: int, margin: float) -> float | None:
    """The same for other scores. Nothing can be drawn from items that are not there, so the interval is taken to narrow
    with the root of the number of items."""
    gap = difference.value + margin
    side = difference.value - difference.low if gap > 0 else difference.high - difference.value
    return count * max(1.0, (side / gap) ** 2) if gap else None


def _until_above(share: float, chance: float, count: int, level: float) -> int:
    """About how many items would show at this share that the dense model is above chance, or that it is not."""
    items = count
    while items < FEWEST_FOR_CHANCE and wilson(share * items, items, level).low <= chance:
        items += 1
    return items


def space_loss(results: Sequence[ItemResult]) -> SpaceLoss | None:
    """Means over the items' deciding positions; None if no item has figures."""
    every = [one.spaces for one in results if one.spaces is not None]
    spaces = [one for one in every if all(map(math.isfinite, _losses(one)))]
    if not spaces:
        return None
    h, z, p, kl = (_mean(column) for column in zip(*map(_losses, spaces), strict=True))
    options = [one.options for one in results if one.options is not None and math.isfinite(one.options.kl)]
    return SpaceLoss(
        len(spaces),
        h,
        z,
        p,
        kl,
        _mean([1 - one.cos for one in options]) if options else None,
        _mean([one.kl for one in options]) if options else None,
        nonfinite=len(results) - len(spaces),
    )


def _losses(spaces: SpaceFigures) -> tuple[float, float, float, float]:
    return 1 - spaces.h.cos, 1 - spaces.z.cos_centred, 1 - spaces.p.cos, spaces.p.kl


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _item_notes(task: str, results: Iterable[ItemResult]) -> list[str]:
    """What several items have in common, said once with their number."""
    counts = Counter(note for one in results for note in one.notes)
    return [f"{task}, {count} item{'s' if count > 1 else ''}: {note}" for note, count in counts.items()]
