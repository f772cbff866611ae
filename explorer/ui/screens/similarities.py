"""A retrieval task: both similarity matrices as heat maps, and the rankings of the query under the cursor."""

from __future__ import annotations

from collections.abc import Sequence

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from explorer.sources.source import Source
from explorer.state.item_list import ItemLook
from explorer.state.judge_requests import JudgeRequests
from explorer.state.row_search import SearchedRow
from explorer.state.searched_rows import searched_item
from explorer.state.similarity_map import MapOf, SimilarityMap
from explorer.state.view import View
from explorer.ui.commands import Command, page_commands
from explorer.ui.screens.list_page import TaskPage, open_command, row_commands
from explorer.ui.screens.row_finding import find_commands
from explorer.ui.widgets.similarity_maps import QueryRankings, SimilarityHeat
from explorer.words.bound_keys import key_of
from probes.schema.events import ItemScored
from probes.schema.task_results import Similarities

MOST_CELLS = 20_000
"""So many cells are ordered at once; more, in a thread."""

SIMILARITY_COMMANDS: tuple[Command[SimilaritiesScreen], ...] = (
    *row_commands("query", "queries"),
    open_command("the text of the query on the main screen", "j", "Queries"),
    Command(
        {"g": "changed"},
        "g",
        "Chooses the next query whose first document changed.",
        label="next changed",
        name="Queries: Next changed",
        weight=80,
    ),
    *find_commands("a query"),
    *page_commands("Queries", "Goes back to the verdict."),
)


class SimilaritiesScreen(TaskPage):
    """Shows the similarities of one task of the present setting."""

    ITEM = "query"
    HOME = "#rankings"
    AUTO_FOCUS = "#rankings"
    COMMAND_TABLE = SIMILARITY_COMMANDS

    def __init__(self, task: str, source: Source, view: View, judging: JudgeRequests) -> None:
        super().__init__(task, source, view, judging)
        self._map: SimilarityMap | None = None
        self._preparing: Similarities | None = None
        """Those that are being ordered."""

    def regions(self) -> ComposeResult:
        with Vertical(id="similar"):
            with Horizontal(id="maps"):
                for of in MapOf:
                    yield SimilarityHeat(of)
            yield QueryRankings()

    def show(self) -> None:
        found, row = self._found(), self.row
        for one in self.query(SimilarityHeat):
            one.show(found, row, self._empty())
        scored = self.chosen
        text = scored.prompt.prompt if scored is not None and scored.prompt is not None else ""
        self.query_one(QueryRankings).show(
            found, row, text, self.why_shut() or f"{key_of('open')} opens its text as a run"
        )
        self.show_around(self.task_name, found=self.search_sentence())

    def _found(self) -> SimilarityMap | None:
        """The similarities of the present setting; made once for each."""
        found = self.judging.results.similarities.get(self.task_name)
        if found is None:
            self._map = None
        elif self._map is None or self._map.found is not found:
            self._map = None
            made = SimilarityMap(found, self.judging.results.scored(self.task_name))
            if made.cells <= MOST_CELLS:
                self._map = made.prepare()
            elif self._preparing is not found:
                self._preparing = found
                self._prepare(made)
        return self._map

    @work(thread=True, exclusive=True, group="similarities", description="ordering documents")
    def _prepare(self, made: SimilarityMap) -> None:
        """Orders many documents in a thread of its own."""
        made.prepare()
        self.app.call_from_thread(self._take, made)

    def _take(self, made: SimilarityMap) -> None:
        self._map = made
        self.show()

    @property
    def rows_key(self) -> object:
        return self.task_name, self.judging.results.version

    def searched_rows(self) -> Sequence[SearchedRow]:
        found, items = self._found(), self.judging.results.items.get(self.task_name, {})
        queries = found.queries if found is not None else ()
        return [searched_item(items[query]) if query in items else SearchedRow(query) for query in queries]

    @property
    def row(self) -> int:
        found, chosen = self._found(), self.judging.looks.get(self.task_name, ItemLook()).item
        return found.queries.index(chosen) if found is not None and chosen in found.queries else 0

    @property
    def chosen(self) -> ItemScored | None:
        found = self._found()
        items = self.judging.results.items.get(self.task_name, {})
        return items.get(found.queries[self.row]) if found is not None and found.queries else None

    @property
    def count(self) -> int:
        found = self._found()
        return len(found.queries) if found is not None else 0

    def keep_row(self, row: int) -> None:
        found = self._found()
        if found is not None:
            self.judging.looks[self.task_name] = ItemLook(item=found.queries[row])

    def _empty(self) -> str:
        if self._preparing is not None and self._map is None:
            return "Ordering the documents …"
        if self.judging.scoring:
            return "The maps appear when all documents and queries are read."
        return "The similarities are not known: not all documents and queries were read."

    # Actions.

    def action_changed(self) -> None:
        found = self._found()
        if found is None:
            return
        count = len(found.queries)
        later = [(self.row + step) % count for step in range(1, count + 1)]
        changed = [row for row in later if found.top(MapOf.DENSE, row) != found.top(MapOf.PRUNED, row)]
        if changed:
            self.go_to_row(changed[0])
        else:
            self.notify("Both models rank the same document first for every query.", title="None changed")

    def action_explain(self) -> None:
        self.explain("similarities")
