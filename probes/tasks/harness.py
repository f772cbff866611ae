"""Tasks of lm-evaluation-harness on both models of a pair, their results paired item by item.

The harness builds the prompts, asks for the answers and scores them, so its scores are the published ones. It runs on
the two models that are in memory: nothing is loaded twice. It is an optional extra.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import logging
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from probes.models.error_boundary import error_boundary
from probes.models.loaded import Loaded
from probes.models.quiet_libraries import marked_output
from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet, Question, ShortAnswer, TaskKind, Way
from probes.schema.nearest import nearest
from probes.schema.task_results import Answered, ItemResult
from probes.system.progress import UNWATCHED, Work
from probes.tasks.options import SIDES, continuation_figures

if TYPE_CHECKING:
    from lm_eval.api.task import Task

SEED = 1234
"""The harness's own default seed of the examples before a question, and of sampled answers."""
READING = "Reading tasks"


@dataclass(frozen=True, slots=True, eq=False)
class HarnessTasks:
    """Tasks of the harness with their documents: one item set for each task, or for each filter of its answers."""

    sets: tuple[ItemSet, ...]
    _tasks: Mapping[str, Task]
    _ids: Mapping[str, tuple[int, ...]]
    """The harness's numbers of each task's documents."""

    def score(
        self, pair: Pair, work: Work = UNWATCHED, *, done: Collection[tuple[str, str]] = ()
    ) -> Iterator[ItemResult]:
        """Runs the tasks on the dense model, then on the pruned one, and pairs their results.

        `done` has the task and the item of results that are there already; items of which all are there are left out.
        Raises `BadInput` if a task gives no score for each item, and `Cancelled`.
        """
        for name, task in self._tasks.items():
            mine = [found for found in self.sets if _task_of(found) == name]
            todo = [i for i in self._ids[name] if any((found.name, str(i)) not in done for found in mine)]
            if not todo:
                continue
            if task.config.num_fewshot:
                todo = list(self._ids[name])  # the examples before a question depend on the questions before it
            rows = [_rows(one, name, task, todo, work) for one in (pair.dense, pair.pruned)]
            for (key, number), dense in rows[0].items():
                named = _set_name(name, key, len(mine) > 1)
                if (named, str(number)) not in done:
                    yield _paired(task, named, number, dense, rows[1][key, number])


def harness_tasks(
    names: Sequence[str], work: Work = UNWATCHED, *, examples: int | None = None, most: int | None = None
) -> HarnessTasks:
    """Reads tasks of the harness by name, or from a task file (.yaml), with their documents.

    `examples` is the number of solved examples before each question (few-shot; None is the task's own number), `most`
    the number of items of each task. Raises `BadInput` if the harness is not installed, and if a task is unknown, can't
    be read, or its data can't be downloaded.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise BadInput(
            "No lm-evaluation-harness",
            "Tasks of lm-evaluation-harness need that package, and it is not installed.",
            "Install it with: pip install 'phier[harness]'",
        )
    work.report(READING)
    with _quiet(work):
        from lm_eval.tasks import TaskManager

        known = TaskManager(include_defaults=not all(_is_file(name) for name in names))
        for name in names:
            if _is_file(name) and not os.path.isfile(name):
                raise BadInput("Unknown task", f"There is no task file {visible(name)}.", "Name a .yaml file.")
            if not _is_file(name) and name not in known.all_tasks:
                hint = nearest(name, known.all_tasks)
                raise BadInput(
                    "Unknown task",
                    f"lm-evaluation-harness has no task {name!r}.",
                    f"Did you mean {hint}?" if hint else "Name one of its tasks, or a task file (.yaml).",
                )
        with error_boundary(
            "Task can't be read",
            f"{', '.join(names)}: the task or its data can't be read",
            "Without a network, use tasks over local files, or download the data before.",
        ):
            tasks = known.load(list(names))["tasks"]
            for task in tasks.values():
                if examples is not None:
                    task.set_config("num_fewshot", examples)
                task.set_fewshot_seed(SEED)
                task.build_all_requests(limit=most)
        sets = [found for name, task in tasks.items() for found in _item_sets(name, task)]
    ids = {name: tuple(sorted({one.doc_id for one in task.instances})) for name, task in tasks.items()}
    return HarnessTasks(tuple(sets), tasks, ids)


def _item_sets(name: str, task: Task) -> Iterator[ItemSet]:
    """The items of a task, once for each of its filters."""
    by_id: dict[int, Any] = {}
    for instance in task.instances:
        by_id.setdefault(instance.doc_id, instance)
    if not by_id:
        raise BadInput("Empty task", f"The task {name} has no items.", "Name another one.")
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        raise BadInput(
            "Not an item task",
            f"{name} measures the perplexity of texts and has no score for each item.",
            "Use phier score for texts.",
        )
    digest = hashlib.sha256(
        json.dumps([task.dump_config(), [one.args for one in task.instances]], sort_keys=True, default=str).encode()
    ).hexdigest()
    filters = [one.name for one in task._filters]
    for key in filters:
        named = _set_name(name, key, len(filters) > 1)
        if task.OUTPUT_TYPE == "multiple_choice":
            questions = tuple(_question(task, i, one) for i, one in sorted(by_id.items()))
            yield ItemSet(named, TaskKind.OPTIONS, questions, way=Way.CONTINUATION, digest=digest)
        else:
            prompts = tuple(
                ShortAnswer(str(i), str(one.args[0]), _texts(task.doc_to_target(one.doc)))
                for i, one in sorted(by_id.items())
            )
            yield ItemSet(named, TaskKind.GENERATION, prompts=prompts, digest=digest)


def _question(task: Task, number: int, instance: Any) -> Question:
    options = tuple(task.doc_to_choice(instance.doc))
    # Where the options stand in the question, as in a gap to fill, the harness gives the answer as the question.
    answer = task.doc_to_text(instance.doc) if task.multiple_input else task.doc_to_target(instance.doc)
    if isinstance(answer, list):
        answer = answer[0] if answer else -1
    if isinstance(answer, str):
        answer = options.index(answer) if answer in options else -1
    if not 0 <= answer < len(options):
        raise BadInput(
            "No answer", f"Item {number} of {task.config.task} has an answer that is not among its options.", ""
        )
    return Question(str(number), str(instance.args[0]), options, answer)


def _texts(target: object) -> tuple[str, ...]:
    return tuple(map(str, target)) if isinstance(target, list | tuple) else (str(target),)


def _set_name(task: str, key: str, several: bool) -> str:
    return f"{task} [{key}]" if several else task


def _task_of(found: ItemSet) -> str:
    return found.name.split(" [")[0]


_Row = Mapping[str, Any]
"""One item of one model, as the harness logs it."""


def _rows(loaded: Loaded, name: str, task: Task, todo: Sequence[int], work: Work) -> dict[tuple[str, int], _Row]:
    """One model's results by filter and number of the item."""
    with _quiet(work), torch.random.fork_rng(), error_boundary("Task failed", f"{name} can't be run"):
        from lm_eval.evaluator import evaluate

        torch.manual_seed(SEED)
        task.set_fewshot_seed(SEED)
        resident = _resident(loaded, f"{name} on {loaded.info.name}", work)
        found = evaluate(
            lm=resident,
            task_dict={"tasks": {name: task}, "groups": {}, "group_map": {}},
            samples={name: list(todo)},
            bootstrap_iters=0,
        )
        return {(row["filter"], row["doc_id"]): row for row in found["samples"][name]}


def _paired(task: Task, name: str, number: int, dense: _Row, pruned: _Row) -> ItemResult:
    figure = next((key for key in dense["metrics"] if isinstance(dense[key], int | float)), None)
    if figure is None:
        raise BadInput(
            "No score for each item",
            f"{name} only has figures of all items together ({', '.join(dense['metrics'])}).",
            "Name a task that scores each item, such as one with acc or exact_match.",
        )
    if task.OUTPUT_TYPE != "multiple_choice":
        return ItemResult(name, str(number), _written(dense, figure), _written(pruned, figure), spaces=None)
    options = [str(option) for option in task.doc_to_choice(dense["doc"])]
    # A task may ask for more than the options, such as the options without the question: those come after them.
    logs, logs_pruned = ([float(one[0]) for one in row["filtered_resps"][: len(options)]] for row in (dense, pruned))
    broken = [
        f"The {side} model computes NaN or infinity."
        for side, one in zip(SIDES, (logs, logs_pruned), strict=True)
        if not all(map(math.isfinite, one))
    ]
    return ItemResult(
        name,
        str(number),
        _chosen(options, logs, float(dense[figure])),
        _chosen(options, logs_pruned, float(pruned[figure])),
        spaces=None,
        options=None if broken else continuation_figures(options, logs, logs_pruned),
        notes=tuple(broken),
    )


def _written(row: _Row, figure: str) -> Answered:
    """A generated answer: what the task's filter makes of it, and the text."""
    score, answer = float(row[figure]), row["filtered_resps"][0]
    text = answer if isinstance(answer, str) else str(answer[0])
    return Answered(text.strip(), score == 1, score, text=str(row["resps"][0][0]))


def _chosen(options: Sequence[str], logs: Sequence[float], score: float) -> Answered:
    if not all(map(math.isfinite, logs)):
        return Answered("", False, 0.0)
    best, *others = sorted(logs, reverse=True)
    return Answered(options[logs.index(best)], score == 1, score, best - others[0] if others else None)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _resident(loaded: Loaded, doing: str, work: Work) -> Any:
    """The harness's own way to run a model of transformers, on one that is in memory."""
    from lm_eval.models.huggingface import HFLM

    class Resident(HFLM):  # type: ignore[misc]
        """Reports each pass, and stops between two of them if the person has cancelled."""

        def _model_call(self, *args: Any, **named: Any) -> Any:
            work.report(doing)
            return super()._model_call(*args, **named)

        def _model_generate(self, *args: Any, **named: Any) -> Any:
            work.report(doing)
            return super()._model_generate(*args, **named)

    # The harness gives a tokenizer a padding token if it has none, so it gets one of its own.
    return Resident(pretrained=loaded.model, tokenizer=copy.deepcopy(loaded.tokenizer), batch_size=1)


@contextmanager
def _quiet(work: Work) -> Iterator[None]:
    """Keeps the harness, and the library that reads its data, off the terminal."""
    import datasets
    from lm_eval.api import model, task
    from lm_eval.models import huggingface

    def counted(items: Any = None, *_: Any, **__: Any) -> Any:
        return _Silent() if items is None else _checked(items, work)

    modules: tuple[Any, ...] = (model, task, huggingface)
    before = [module.tqdm for module in modules]
    logger = logging.getLogger("lm_eval")
    level, shown = logger.level, datasets.utils.logging.get_verbosity()
    bars = datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    for module in modules:
        module.tqdm = counted
    try:
        with marked_output():
            yield
    finally:
        for module, bar in zip(modules, before, strict=True):
            module.tqdm = bar
        logger.setLevel(level)
        datasets.utils.logging.set_verbosity(shown)
        if not bars:
            datasets.enable_progress_bars()


def _checked(items: Any, work: Work) -> Iterator[Any]:
    for item in items:
        work.check(READING)
        yield item


class _Silent:
    """Stands for a progress bar that is moved by hand."""

    def update(self, _count: int = 1) -> None:
        pass

    def close(self) -> None:
        pass
