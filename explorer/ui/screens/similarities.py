"""A retrieval task: both similarity matrices as heat maps, and the rankings of the query under the cursor."""

from __future__ import annotations

from dataclasses import replace

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from explorer.sources.source import Source
from explorer.state.item_list import ItemLook, item_settings
from explorer.state.judge_requests import JudgeRequests
from explorer.state.similarity_map import MapOf, SimilarityMap
from explorer.state.view import View
from explorer.ui.commands import COPY, EXPLAIN, FOCUS, HELP, PALETTE, QUIT, THEME, ZOOM, Command
from explorer.ui.screens.items import why_shut
from explorer.ui.screens.page import too_small
from explorer.ui.screens.results_page import ResultsPage
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.row_list import RowPointed
from explorer.ui.widgets.scoring_status import ScoringStatus
from explorer.ui.widgets.similarity_maps import QueryRankings, SimilarityHeat
from probes.schema.events import ItemScored
from probes.schema.task_results import Similarities

MOST_CELLS = 20_000
"""So many cells are ordered at once; more, in a thread."""

SIMILARITY_COMMANDS: tuple[Command[SimilaritiesScreen], ...] = (
    Command({"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Chooses a query.", label="query", weight=90),
    Command({"pageup": "row(-10)", "pagedown": "row(10)"}, "PgUp PgDn", "Moves ten queries up or down."),
    Command({"home": "row(-1000000)", "end": "row(1000000)"}, "Home End", "Chooses the first or the last query."),
    Command(
        {"g": "changed"},
        "g",
        "Chooses the next query whose first document changed.",
        label="next changed",
        name="Queries: Next changed",
        weight=80,
    ),
    Command(
        {"enter": "open"},
        "⏎",
        "Opens the text of the query on the main screen; j there comes back to this screen.",
        label="open",
        name="Queries: Open as a run",
        when=lambda screen: not screen.why_shut(),
        weight=85,
    ),
    ZOOM,
    COPY,
    replace(EXPLAIN, weight=45),
    THEME,
    Command({"escape": "leave"}, "Esc", "Goes back to the verdict.", label="back", name="Queries: Back", weight=60),
    replace(HELP, weight=50),
    QUIT,
    FOCUS,
    PALETTE,
)


class SimilaritiesScreen(ResultsPage):
    """Shows the similarities of one task of the present setting."""

    HOME = "#rankings"
    AUTO_FOCUS = "#rankings"
    COMMAND_TABLE = SIMILARITY_COMMANDS

    def __init__(self, task: str, source: Source, view: View, judging: JudgeRequests) -> None:
        super().__init__(source, view, judging)
        self._of = task
        self._map: SimilarityMap | None = None
        self._preparing: Similarities | None = None
        """Those that are being ordered."""

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            with Vertical(id="similar"):
                with Horizontal(id="maps"):
                    for of in MapOf:
                        yield SimilarityHeat(of)
                yield QueryRankings()
            yield ScoringStatus()
        yield too_small()
        yield KeyLine()

    def show(self) -> None:
        found, row = self._found(), self._row
        for one in self.query(SimilarityHeat):
            one.show(found, row, self._empty())
        scored = self.chosen
        text = scored.prompt.prompt if scored is not None and scored.prompt is not None else ""
        self.query_one(QueryRankings).show(found, row, text, self.why_shut() or "⏎ opens its text as a run")
        self.show_around(self._of)

    def _found(self) -> SimilarityMap | None:
        """The similarities of the present setting; made once for each."""
        found = self.judging.results.similarities.get(self._of)
        if found is None:
            self._map = None
        elif self._map is None or self._map.found is not found:
            self._map = None
            made = SimilarityMap(found, self.judging.results.scored(self._of))
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
    def _row(self) -> int:
        found, chosen = self._found(), self.judging.looks.get(self._of, ItemLook()).item
        return found.queries.index(chosen) if found is not None and chosen in found.queries else 0

    @property
    def chosen(self) -> ItemScored | None:
        """The query under the cursor, if it was scored."""
        found = self._found()
        items = self.judging.results.items.get(self._of, {})
        return items.get(found.queries[self._row]) if found is not None and found.queries else None

    def why_shut(self) -> str:
        """Why the chosen query can't be opened as a run; "" if it can."""
        return self.why_no_models() or why_shut(self.chosen)

    def why_not(self, command: Command[SimilaritiesScreen]) -> str:  # noqa: ARG002 - one reason for all
        return self.why_shut()

    def _empty(self) -> str:
        if self._preparing is not None and self._map is None:
            return "Ordering the documents …"
        if self.judging.scoring:
            return "The maps appear when all documents and queries are read."
        return "The similarities are not known: not all documents and queries were read."

    # Actions.

    def action_row(self, rows: int) -> None:
        self._choose(self._row + rows)

    def _choose(self, row: int) -> None:
        found = self._found()
        if found is not None and found.queries:
            chosen = found.queries[max(0, min(row, len(found.queries) - 1))]
            self.judging.looks[self._of] = ItemLook(item=chosen)
            self.show()

    @on(RowPointed)
    def point(self, message: RowPointed) -> None:
        message.stop()
        self._choose(message.place)

    def action_changed(self) -> None:
        found = self._found()
        if found is None:
            return
        count = len(found.queries)
        later = [(self._row + step) % count for step in range(1, count + 1)]
        changed = [row for row in later if found.top(MapOf.DENSE, row) != found.top(MapOf.PRUNED, row)]
        if changed:
            self._choose(changed[0])
        else:
            self.notify("Both models rank the same document first for every query.", title="None changed")

    def action_open(self) -> None:
        one = self.chosen
        if one is not None and (prompt := one.prompt) is not None:
            self.judging.open_task = self._of
            self.open_run(lambda base: item_settings(base, prompt), f"query {prompt.item}", first_step=True)

    def action_explain(self) -> None:
        self.explain("similarities")

    def action_leave(self) -> None:
        if not self.zoomed:
            self.judging.open_task = ""
        super().action_leave()
