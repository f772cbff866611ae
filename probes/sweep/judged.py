"""Makes the row of a task's cell from its items. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from probes.schema.items import ItemSet
from probes.schema.task_results import ItemResult
from probes.schema.verdict import TaskResults, TaskVerdict
from probes.sweep.jobs import Found
from probes.tasks.judge import judge


def judged_row(
    items: ItemSet, found: Sequence[Found], margin: float, level: float
) -> tuple[TaskVerdict, tuple[str, ...]]:
    """The row of a task, and its notes.

    The items are taken in the set's order, so that a cell that was interrupted has the row of one that was not.
    """
    queries = items.collection.queries if items.collection else ()
    order = [one.id for group in (items.questions, items.prompts, queries) for one in group]
    places = {name: place for place, name in enumerate(order)}
    results = [one for one in found if isinstance(one, ItemResult)]
    results.sort(key=lambda one: places.get(one.item, len(places)))
    verdict = judge(TaskResults("", "", "", tuple(results)), [items], margin, level)
    return verdict.rows[0], verdict.notes
