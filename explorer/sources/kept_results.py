"""Results files as a source: the verdict and the items that they hold, without any model."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.sources.lane import Lane
from explorer.sources.shown_errors import failure_of
from explorer.sources.source import Sink
from probes.schema.errors import FailureKind
from probes.schema.events import DocumentsCompared, Event, Failed, ItemScored, Judged
from probes.schema.foreign_text import visible
from probes.schema.items import TaskKind, Way
from probes.schema.requests import Cancel, Judge, Request
from probes.schema.task_options import Pooling
from probes.schema.task_results import ItemPrompt
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY
from probes.system.fence import inside

if TYPE_CHECKING:
    from probes.schema.items import ItemSet
    from probes.tasks.results_file import KeptResults

_FIRST_LINE = 1 << 20
"""So many bytes of a file are searched for its first line."""


def is_results(path: Path) -> bool:
    """Is this a results file, by its first line?"""
    return kind_of_file(path) == "results"


def kind_of_file(path: Path) -> object:
    """The kind that the first line of a JSON Lines file names: "results", "sweep"; None if it names none."""
    try:
        with inside(path).open("rb") as file:
            found = json.loads(file.readline(_FIRST_LINE))
    except (OSError, ValueError, RecursionError):
        return None
    return found.get("kind") if isinstance(found, dict) else None


class ResultsSource:
    """Shows what a results file holds, and judges it at another margin; it has no steps."""

    live = False

    def __init__(
        self, path: Path, *more: Path, margin: float = MARGIN_OF_SAFETY, level: float = LEVEL, request: int = 0
    ) -> None:
        """`more` are files of the same setting with other tasks, which are shown together. The first verdict, at this
        margin and level, answers `request`."""
        self.path = path
        self.paths = (path, *more)
        self._begin = Judge(margin=margin, level=level, id=request)
        self._kept: KeptResults | None = None
        self._sink: Sink = lambda _event: None
        self._lane = Lane("results", lambda request, problem: self._tell(failure_of(problem, request)))
        self._lock = threading.Lock()
        """Guards the order of events."""

    def open(self, sink: Sink) -> None:
        self._sink = sink
        self._lane.put(lambda _cancelled: self._read())

    def ask(self, request: Request) -> None:
        match request:
            case Judge():
                self._lane.put(lambda _cancelled: self._judge(request), request.id)
            case Cancel():
                pass  # nothing here takes long
            case _:
                name = visible(self.path.name)
                message = f"{name} holds the results of items. Everything else needs the models."
                hint = "Begin a run: phier-tui --dense MODEL --prune SETTING."
                self._tell(Failed("Only results", message, hint, FailureKind.NEEDS_MODELS, request=request.id))

    def item_set(self, task: str) -> ItemSet | None:
        """The items of a task, once the files are read."""
        item_sets = self._kept.item_sets if self._kept is not None else ()
        return next((items for items in item_sets if items.name == task), None)

    def close(self) -> None:
        self._lane.close()

    def wait_idle(self, seconds: float) -> bool:
        return self._lane.wait_idle(seconds)

    def _tell(self, *events: Event) -> None:
        with self._lock:
            for event in events:
                self._sink(event)

    def _read(self) -> None:
        from probes.tasks.results_file import read_results

        first, *others = [read_results(path) for path in self.paths]
        kept = self._kept = replace(
            first,
            item_sets=tuple(items for one in (first, *others) for items in one.item_sets),
            results=tuple(result for one in (first, *others) for result in one.results),
            similarities=tuple(found for one in (first, *others) for found in one.similarities),
        )
        texts = {items.name: item_texts(items) for items in kept.item_sets}
        for result in kept.results:
            text, options, answer = texts.get(result.task, {}).get(result.item, ("", {}, ""))
            prompt = ItemPrompt(result.task, result.item, text, options, answer) if text else None
            self._tell(ItemScored(result, prompt))
        self._tell(*(DocumentsCompared(found) for found in kept.similarities))
        self._judge(self._begin)

    def _judge(self, request: Judge) -> None:
        from probes.tasks.judge import judge

        kept = self._kept
        if kept is not None:
            verdict = judge(kept.found, kept.item_sets, request.margin, request.level)
            self._tell(Judged(verdict, request=request.id))


def item_texts(items: ItemSet) -> Mapping[str, tuple[str, Mapping[str, str], str]]:
    """Of each item, the prompt with the instruction and the examples before it, its options, and the right answer.
    A chat template is not around it: that is the model's."""
    found: dict[str, tuple[str, Mapping[str, str], str]] = {}
    for question in items.questions:
        options = {option: option for option in question.options}
        asked = question.lettered if items.kind is TaskKind.OPTIONS and items.way is Way.LETTER else question.question
        found[question.id] = (items.wording_of(question).around(asked), options, question.options[question.answer])
    for item in items.prompts:
        found[item.id] = (items.wording.around(item.prompt), {}, item.targets[0])
    for query in items.collection.queries if items.collection else ():
        text = items.wording.around(query.text) if items.pooling is Pooling.LAST else query.text
        found[query.id] = (text, {}, query.positive[0])
    return found
