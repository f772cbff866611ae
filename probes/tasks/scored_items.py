"""Scores the items of tasks in both models of a pair, one after another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet, TaskKind
from probes.schema.task_options import TASK_DEFAULTS, TaskOptions
from probes.system.progress import UNWATCHED, Work
from probes.tasks.dense_side import DenseSide
from probes.tasks.generation import plan_generation
from probes.tasks.item_plan import Scored, TaskPlan, in_turn
from probes.tasks.options import plan_questions
from probes.tasks.readers import SCORING, Readers
from probes.tasks.retrieval import plan_retrieval

_SHOWN = 60


def score_items(
    pair: Pair,
    item_sets: Sequence[ItemSet],
    work: Work = UNWATCHED,
    *,
    done: Collection[tuple[str, str]] = frozenset(),
    options: TaskOptions = TASK_DEFAULTS,
    side: DenseSide | None = None,
) -> Iterator[Scored]:
    """The result of each item in both models, as soon as it is known, and the similarities of each retrieval task.

    `done` are the task and the id of items that were scored before, which are left out. The results are the same in
    any order, and in every repetition. A retrieval task gives its similarities before its last result, so that they
    are there if all of its items are done. What `side` knows of the dense model is not computed again, and it gets the
    rest; the results are the same to the bit.

    All prompts are made before the first item is scored. `work` hears of the progress in items and documents, and is
    checked between any two passes, when nothing is changed in a model: another thread may use the models there. Raises
    `BadInput` if an item can't be scored, at once; while scoring, `Cancelled`, and `Failure` if memory runs out.
    """
    names = [items.name for items in item_sets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput("Tasks", f"Two tasks are called {visible(twice, _SHOWN)!r}.", "Rename one of them.")
    readers = Readers(pair, work, side)
    skipped = frozenset(done)
    plans = [_plan(readers, items, skipped, options) for items in item_sets]
    searched = any(items.kind is TaskKind.RETRIEVAL for items in item_sets)
    return _scored(plans, work, "items and documents" if searched else "items")


def _scored(plans: Sequence[TaskPlan], work: Work, unit: str) -> Iterator[Scored]:
    total = sum(plan.texts for plan in plans)
    work.report(SCORING, 0, total, unit)
    for count, found in enumerate(in_turn(plans), 1):
        yield from found
        work.report(SCORING, count, total, unit)


def _plan(readers: Readers, items: ItemSet, done: Collection[tuple[str, str]], options: TaskOptions) -> TaskPlan:
    match items.kind:
        case TaskKind.OPTIONS | TaskKind.CLASSIFICATION:
            return plan_questions(readers, items, done)
        case TaskKind.RETRIEVAL:
            return plan_retrieval(readers, items, done, options)
        case TaskKind.GENERATION:
            return plan_generation(readers, items, done, options)
