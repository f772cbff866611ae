"""Scores the items of tasks and the passages of texts beside stepping, which has its turn between any two passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from explorer.sources.lane import Turns
from probes.schema.errors import BadInput
from probes.schema.events import DocumentsCompared, Event, ItemScored, Judged, PassagesFound, WorkProgressed
from probes.schema.requests import FindPassages, Judge
from probes.schema.task_results import ItemPrompt, ItemResult, Similarities
from probes.schema.verdict import TaskResults
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.pair import Pair
    from probes.schema.items import ItemSet

KEPT_SETTINGS = 12
"""Of how many settings the results are kept; those of the setting that was judged longest ago are dropped first."""
BETWEEN_VERDICTS = 1.0
"""Seconds from one verdict on what is scored so far to the next."""


class OtherModel(BadInput):
    """The pruned model changed before all was scored."""


@dataclass(slots=True, eq=False)
class _Known:
    """What was scored of one item set under one setting."""

    items: dict[str, ItemScored] = field(default_factory=dict)
    similarities: Similarities | None = None

    def take(self, event: ItemScored | DocumentsCompared) -> None:
        if isinstance(event, ItemScored):
            self.items[event.result.item] = event
        else:
            self.similarities = event.found


@dataclass(slots=True)
class _Pace:
    """How fast scoring is, by the texts that are read."""

    clock: Callable[[], float]
    began: float = 0.0
    done: float = 0.0
    total: float = 0.0

    def __call__(self, progress: WorkProgressed) -> None:
        if progress.done is not None and progress.total is not None:
            if progress.done == 0:
                self.began = self.clock()
            self.done, self.total = progress.done, progress.total

    @property
    def seconds_left(self) -> float | None:
        """None before the first text is read, and after the last."""
        if not 0 < self.done < self.total:
            return None
        return (self.clock() - self.began) / self.done * (self.total - self.done)


class Judging:
    """The results of the latest settings, and the work that adds to them."""

    def __init__(
        self,
        models: Turns,
        lock: threading.RLock,
        pair: Callable[[], Pair],
        tell: Callable[[Event], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pair` gives the models, or raises `BadInput`. `lock` guards them, and the order of events."""
        self._models, self._lock, self._pair, self._tell, self._clock = models, lock, pair, tell, clock
        self._age = 0
        """Grows whenever the pruned model changes."""
        self._kept: dict[str, dict[str, _Known]] = {}
        """By setting, then by the digest of the item set."""

    def overtake(self) -> None:
        """The pruned model changes: what is being scored stops, and what was scored is kept for its setting."""
        with self._lock:
            self._age += 1

    def judge(self, request: Judge, work: Work) -> None:
        """Answers a request. What was scored before under this setting is sent again first.

        Raises `BadInput` if items can't be read or scored, `OtherModel` if the model is pruned meanwhile, and
        `Cancelled`; what was scored until then is kept.
        """
        from probes.tasks.item_files import item_set, shipped_names
        from probes.tasks.scored_items import score_items

        work.report("Reading the items")
        item_sets = [item_set(name, work=work) for name in request.tasks or shipped_names()]
        pace = _Pace(self._clock)
        with self._models.turn():
            with self._lock:
                pair, age = self._pair(), self._age
                known = self._known(pair, item_sets)
                for items in item_sets if not request.only_known else ():
                    self._tell_known(known[items.name], request.id)
            told = self._tell_verdict(request, pair, item_sets, known, pace)
            if request.only_known:
                return
            done = frozenset((name, item) for name, one in known.items() for item in one.items)
            watched = self._giving_turns(work, age, pace)
            by_name = {items.name: items for items in item_sets}
            for found in score_items(pair, item_sets, watched, done=done):
                event = _event(found, pair, by_name[found.task], request.id)
                with self._lock:
                    self._check(age)
                    known[found.task].take(event)
                    self._tell(event)
                if self._clock() - told >= BETWEEN_VERDICTS:
                    told = self._tell_verdict(request, pair, item_sets, known, pace)
        self._tell_verdict(request, pair, item_sets, known, pace)

    def find(self, request: FindPassages, work: Work) -> None:
        """Answers a search with lists that improve. Raises what `find_passages` raises, and `OtherModel`."""
        from probes.tasks.passages import find_passages

        latest: PassagesFound | None = None
        with self._models.turn():
            with self._lock:
                pair, age = self._pair(), self._age
            watched = self._giving_turns(work, age, None)
            for found in find_passages(pair, request.where, request.order, request.most, watched):
                latest = PassagesFound(found, final=False, request=request.id)
                with self._lock:
                    self._check(age)
                    self._tell(latest)
        if latest is not None:
            self._tell(replace(latest, final=True))

    def _known(self, pair: Pair, item_sets: Sequence[ItemSet]) -> dict[str, _Known]:
        """What is known of each item set under the pair's setting, by name."""
        setting = f"{pair.dense.info.name}\n{pair.pruned.info.name}\n{pair.made_by}"
        kept = self._kept[setting] = self._kept.pop(setting, {})
        while len(self._kept) > KEPT_SETTINGS:
            del self._kept[next(iter(self._kept))]
        return {items.name: kept.setdefault(f"{items.name} {items.digest}", _Known()) for items in item_sets}

    def _tell_known(self, known: _Known, request: int) -> None:
        for event in known.items.values():
            self._tell(replace(event, request=request))
        if known.similarities is not None:
            self._tell(DocumentsCompared(known.similarities, request=request))

    def _tell_verdict(
        self, request: Judge, pair: Pair, item_sets: Sequence[ItemSet], known: dict[str, _Known], pace: _Pace
    ) -> float:
        """Judges what is scored so far. Returns the time."""
        from probes.tasks.judge import judge

        results = tuple(event.result for one in known.values() for event in one.items.values())
        report = pair.report
        found = TaskResults(
            pair.dense.info.name, pair.pruned.info.name, report.setting if report is not None else "", results
        )
        verdict = judge(found, item_sets, request.margin, request.level, seconds_left=pace.seconds_left)
        self._tell(Judged(verdict, request=request.id))
        return self._clock()

    def _giving_turns(self, work: Work, age: int, pace: _Pace | None) -> Work:
        """The same work, which lets other threads use the models whenever it is checked."""

        def in_between() -> bool:
            self._models.pass_on(everybody=True)
            self._check(age)
            return work.cancelled is not None and work.cancelled()

        def progressed(progress: WorkProgressed) -> None:
            if pace is not None:
                pace(progress)
            if work.progress is not None:
                work.progress(progress)

        return replace(work, progress=progressed, cancelled=in_between)

    def _check(self, age: int) -> None:
        if age != self._age:
            raise OtherModel(
                "Not all scored", "The pruned model changed before all was scored.", "Score the rest under its setting."
            )


def _event(
    found: ItemResult | Similarities, pair: Pair, items: ItemSet, request: int
) -> ItemScored | DocumentsCompared:
    """The event of what was scored, with the prompt that opens an item."""
    if isinstance(found, Similarities):
        return DocumentsCompared(found, request=request)
    return ItemScored(found, _prompt_of(found.item, pair, items), request=request)


def _prompt_of(item: str, pair: Pair, items: ItemSet) -> ItemPrompt:
    from probes.tasks.prompts import item_prompt

    return item_prompt(pair.dense.tokenizer, items, item)
