"""Scores the items of tasks and the passages of texts beside stepping, which has its turn between any two passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from explorer.sources.kept_scores import KeptScores, SettingScores, prompt_of
from explorer.sources.lane import Turns
from probes.schema.errors import BadInput
from probes.schema.events import DocumentsCompared, Event, ItemScored, Judged, PassagesFound, WorkProgressed
from probes.schema.requests import FindPassages, Judge
from probes.schema.task_results import ItemResult, Similarities
from probes.schema.verdict import TaskResults
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.pair import Pair
    from probes.schema.items import ItemSet

BETWEEN_VERDICTS = 1.0
"""Seconds from one verdict on what is scored so far to the next."""


class OtherModel(BadInput):
    """The pruned model changed before all was scored."""


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
        self.age = 0
        """Grows whenever the pruned model changes."""
        self._kept = KeptScores(tell)

    def overtake(self) -> None:
        """The pruned model changes: what is being scored stops, and what was scored is kept for its setting."""
        with self._lock:
            self.age += 1

    def judge(self, request: Judge, work: Work, age: int) -> None:
        """Answers a request about the pruned model of this `age`. What was scored before under its setting is sent
        first, also by an earlier sitting.

        Raises `BadInput` if items can't be read or scored, `OtherModel` if the model is pruned meanwhile, and
        `Cancelled`; what was scored until then is kept.
        """
        from probes.tasks.item_files import item_set, shipped_names
        from probes.tasks.scored_items import score_items

        work.report("Reading the items")
        named = [item_set(name, work=work) for name in request.tasks]
        pace = _Pace(self._clock)
        with self._models.turn():
            with self._lock:
                self._check(age)
                pair = self._pair()
            item_sets = named or (self._kept.item_sets(pair) if request.only_known else [])
            item_sets = item_sets or [item_set(name) for name in shipped_names()]
            if request.only_known:
                self._tell_known(request, pair, item_sets, self._kept.recalled(pair, item_sets), pace)
                return
            with self._kept.opened(pair, item_sets) as scores:
                told = self._tell_known(request, pair, item_sets, scores, pace)
                watched = self._giving_turns(work, age, pace)
                for found in score_items(pair, item_sets, watched, done=scores.done):
                    event = _event(found, pair, scores.known[found.task].of, request.id)
                    with self._lock:
                        self._check(age)
                        scores.take(event)
                        self._tell(event)
                    if self._clock() - told >= BETWEEN_VERDICTS:
                        told = self._tell_verdict(request, pair, item_sets, scores, pace)
        self._tell_verdict(request, pair, item_sets, scores, pace)

    def find(self, request: FindPassages, work: Work, age: int) -> None:
        """Answers a search with lists that improve. Raises what `find_passages` raises, and `OtherModel`."""
        from probes.tasks.passages import find_passages

        latest: PassagesFound | None = None
        with self._models.turn():
            with self._lock:
                self._check(age)
                pair = self._pair()
            watched = self._giving_turns(work, age, None)
            for found in find_passages(pair, request.where, request.order, request.most, watched):
                latest = PassagesFound(found, final=False, request=request.id)
                with self._lock:
                    self._check(age)
                    self._tell(latest)
        if latest is not None:
            self._tell(replace(latest, final=True))

    def _tell_known(
        self, request: Judge, pair: Pair, item_sets: Sequence[ItemSet], scores: SettingScores, pace: _Pace
    ) -> float:
        """Judges what was scored before, and sends it. Returns the time."""
        told = self._tell_verdict(request, pair, item_sets, scores, pace)
        for known in scores.known.values():
            for event in known.items.values():
                self._tell(replace(event, request=request.id))
            if known.similarities is not None:
                self._tell(DocumentsCompared(known.similarities, request=request.id))
        return told

    def _tell_verdict(
        self, request: Judge, pair: Pair, item_sets: Sequence[ItemSet], scores: SettingScores, pace: _Pace
    ) -> float:
        """Judges what is scored so far. Returns the time."""
        from probes.tasks.judge import judge

        results = tuple(event.result for one in scores.known.values() for event in one.items.values())
        report = pair.report
        found = TaskResults(
            pair.dense.info.name, pair.pruned.info.name, report.setting if report is not None else "", results
        )
        verdict = judge(found, item_sets, request.margin, request.level, seconds_left=pace.seconds_left)
        self._tell(Judged(verdict, scores.kept_in, request=request.id))
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
        if age != self.age:
            raise OtherModel(
                "Not all scored", "The pruned model changed before all was scored.", "Score the rest under its setting."
            )


def _event(
    found: ItemResult | Similarities, pair: Pair, items: ItemSet, request: int
) -> ItemScored | DocumentsCompared:
    """The event of what was scored, with the prompt that opens an item."""
    if isinstance(found, Similarities):
        return DocumentsCompared(found, request=request)
    return ItemScored(found, prompt_of(found.item, pair, items), request=request)
