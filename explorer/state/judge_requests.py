"""Asks for the verdict on the present setting and for passages, and knows how far they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from explorer.sources.source import Source
from explorer.state.item_list import ItemLook
from explorer.state.row_search import KeptSearches
from explorer.state.setting_results import SettingResults
from explorer.state.view import View
from probes.schema.errors import FailureKind
from probes.schema.events import Failed, WorkProgressed
from probes.schema.requests import Cancel, FindPassages, Judge, Restart, Run
from probes.schema.settings import RunSettings
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY


@dataclass(frozen=True, slots=True)
class VerdictChoice:
    """What is judged, and how."""

    tasks: tuple[str, ...] = ()
    """Names and files; empty takes all that ship."""
    margin: float = MARGIN_OF_SAFETY
    level: float = LEVEL


class JudgeRequests:
    """Keeps the requests of one sitting. The answers are in the view."""

    def __init__(self, source: Source, view: View) -> None:
        self._source = source
        self._view = view
        self.judging = VerdictChoice()
        self._judge: Judge | None = None
        self._search: FindPassages | None = None
        self._searched: SettingResults | None = None
        self.row = 0
        """The place of the chosen task."""
        self.passage_row = 0
        """The place of the chosen passage."""
        self.looks: dict[str, ItemLook] = {}
        """How each task's list of items is looked at."""
        self.searches = KeptSearches()
        """What was searched for in the lists."""
        self.open_task = ""
        """The task whose items were looked at when one was opened: the verdict's key comes back to it."""
        self._home: RunSettings | None = None

    @property
    def results(self) -> SettingResults:
        """The results of the present setting."""
        return self._view.results.present

    # The verdict.

    def judge(self, judging: VerdictChoice | None = None, *, only_known: bool = False) -> None:
        """Scores the items that are not scored yet, and judges; with `only_known` it judges what there is."""
        self.judging = judging or self.judging
        going_on = self.scoring
        self.stop()
        one = self.judging
        request = Judge(one.tasks, one.margin, one.level, only_known and not going_on)
        self._judge = request
        self.results.tasks = one.tasks
        self._ask(request)

    def recall(self) -> None:
        """Asks once for what was scored of this setting before, in an earlier sitting, too. Nothing is scored."""
        results = self.results
        if results.verdict is None and not results.recalled and not self._unanswered:
            results.recalled = True
            self.judge(only_known=True)

    def with_margin(self, margin: float) -> None:
        """Judges again at another margin. No item is scored again."""
        self.judge(replace(self.judging, tasks=self.results.tasks, margin=margin), only_known=True)

    def stop(self) -> None:
        """Stops scoring; what has arrived stays."""
        if self.scoring and self._judge is not None:
            self._source.ask(Cancel(self._judge.id))

    @property
    def scoring(self) -> bool:
        """Are items being scored, under whichever setting?"""
        return self._unanswered and self._judge is not None and not self._judge.only_known

    @property
    def recalling(self) -> bool:
        """Is only what was scored before being read and judged?"""
        return self._unanswered and not self.scoring

    @property
    def _unanswered(self) -> bool:
        judged = self._judged
        if self._judge is None or judged is None or isinstance(self._answer(self._judge), Failed):
            return False
        verdict, known = judged.verdict, judged.judged == self._judge.id
        return not (known and (self._judge.only_known or (verdict is not None and verdict.final)))

    @property
    def _judged(self) -> SettingResults | None:
        """The results that the latest request adds to."""
        return self._view.results.asked(self._judge.id) if self._judge is not None else None

    @property
    def judge_answer(self) -> WorkProgressed | Failed | None:
        """How far scoring is, or why it failed. A person who stopped it knows why."""
        found = self._answer(self._judge)
        stopped = isinstance(found, Failed) and found.kind is FailureKind.CANCELLED
        return None if stopped or self._judged is not self.results else found

    # Runs of items and passages.

    def open_run(self, settings: Callable[[RunSettings], RunSettings], name: str, *, first_step: bool) -> None:
        """Begins the run of an item or a passage; `settings` makes its settings from those of the person's own run.

        Then it takes the first step alone, or runs.
        """
        view = self._view
        if view.header is None:
            return
        if not view.opened:
            self._home = view.header.settings
        opened = settings(self._home or view.header.settings)
        view.opened_as, view.to_split = (opened, name), False
        self._source.ask(Restart(opened))
        self._source.ask(Run(("steps=1",) if first_step else ()))

    @property
    def home(self) -> RunSettings | None:
        """The settings of the person's own run, while that of an item or a passage is shown."""
        return self._home if self._view.opened else None

    def go_home(self) -> None:
        """Begins the person's own run again."""
        self.open_task = ""
        if self.home is not None:
            self._source.ask(Restart(self.home))

    # Passages.

    def find(self, request: FindPassages) -> None:
        """Searches, in place of an earlier search."""
        self.stop_search()
        self._search, self._searched = request, self.results
        self._ask(request)

    def stop_search(self) -> bool:
        """Stops the search; False if there is none."""
        if not self.searching or self._search is None:
            return False
        self._source.ask(Cancel(self._search.id))
        return True

    @property
    def search(self) -> FindPassages | None:
        """The latest search of this setting."""
        return self._search if self._searched is self.results else None

    @property
    def searching(self) -> bool:
        """Is a search in progress?"""
        one, found = self._search, self._searched
        if one is None or found is None or isinstance(self._answer(one), Failed):
            return False
        return not (found.passages is not None and found.passages.request == one.id and found.passages.final)

    @property
    def search_answer(self) -> WorkProgressed | Failed | None:
        """How far the search is, or why it failed."""
        found = self._answer(self._search)
        stopped = isinstance(found, Failed) and found.kind is FailureKind.CANCELLED
        return None if stopped or self._searched is not self.results else found

    def _answer(self, request: Judge | FindPassages | None) -> WorkProgressed | Failed | None:
        return self._view.beside.get(request.id) if request is not None else None

    def _ask(self, request: Judge | FindPassages) -> None:
        self._view.beside[request.id] = None
        self._view.results.expect(request.id)
        self._source.ask(request)
