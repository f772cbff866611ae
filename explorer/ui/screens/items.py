"""The items of a task with both models' answers. One opens on the main screen at the token that decides it."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static

from explorer.sources.source import Source
from explorer.state.item_list import ItemFilter, ItemLook, item_settings
from explorer.state.judge_requests import JudgeRequests
from explorer.state.view import View
from explorer.ui.commands import COPY, EXPLAIN, FOCUS, HELP, PALETTE, QUIT, THEME, ZOOM, Command
from explorer.ui.screens.page import too_small
from explorer.ui.screens.results_page import ResultsPage
from explorer.ui.widgets.item_sheet import ItemSheet
from explorer.ui.widgets.item_table import ItemTable
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.row_list import RowConfirmed, RowPointed
from explorer.ui.widgets.scoring_status import ScoringStatus
from probes.schema.events import ItemScored
from probes.schema.items import TaskKind
from probes.schema.verdict import TaskVerdict


def items_screen(row: TaskVerdict, source: Source, view: View, judging: JudgeRequests) -> Screen[None]:
    """The screen of a task's items: of retrieval, that of its similarities."""
    if row.kind is TaskKind.RETRIEVAL:
        from explorer.ui.screens.similarities import SimilaritiesScreen

        return SimilaritiesScreen(row.task, source, view, judging)
    return ItemsScreen(row.task, source, view, judging)


ITEM_COMMANDS: tuple[Command[ItemsScreen], ...] = (
    Command({"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Chooses an item.", label="item", weight=90),
    Command({"pageup": "row(-10)", "pagedown": "row(10)"}, "PgUp PgDn", "Moves ten items up or down."),
    Command({"home": "row(-1000000)", "end": "row(1000000)"}, "Home End", "Chooses the first or the last item."),
    Command(
        {"enter": "open"},
        "⏎",
        "Opens the item on the main screen, at the token that decides it; j there comes back to this list.",
        label="open",
        name="Items: Open as a run",
        when=lambda screen: not screen.why_shut(),
        weight=85,
    ),
    Command(
        {str(place): f"only({place})" for place in range(1, len(ItemFilter) + 1)},
        f"1–{len(ItemFilter)}",
        "Lists all items, those whose answer changed, those lost, those gained.",
        label="filter",
        weight=80,
    ),
    Command(
        {"s": "sort"},
        "s",
        "Sorts by KL, or as the items were scored.",
        label=lambda screen: "as scored" if screen.look.by_kl else "by KL",
        name="Items: Sort",
        weight=70,
    ),
    Command(
        {"left_square_bracket": "scroll(-1)", "right_square_bracket": "scroll(1)"},
        "[ ]",
        "Scrolls the item.",
        label="scroll",
        weight=40,
    ),
    ZOOM,
    COPY,
    replace(EXPLAIN, weight=45),
    THEME,
    Command({"escape": "leave"}, "Esc", "Goes back to the verdict.", label="back", name="Items: Back", weight=60),
    replace(HELP, weight=50),
    QUIT,
    FOCUS,
    PALETTE,
)


class ItemsScreen(ResultsPage):
    """Lists the items of one task of the present setting."""

    HOME = "#items"
    AUTO_FOCUS = "#items"
    COMMAND_TABLE = ITEM_COMMANDS

    def __init__(self, task: str, source: Source, view: View, judging: JudgeRequests) -> None:
        super().__init__(source, view, judging)
        self._of = task

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            with Horizontal(id="items-row"):
                yield ItemTable()
                yield ItemSheet()
            yield ScoringStatus()
        yield too_small()
        yield KeyLine()

    @property
    def look(self) -> ItemLook:
        """How this task's list is looked at; kept while other screens are shown."""
        return self.judging.looks.get(self._of, ItemLook())

    def _look_at(self, look: ItemLook) -> None:
        self.judging.looks[self._of] = look
        self.show()

    def show(self) -> None:
        results = self.judging.results
        table = self.query_one(ItemTable)
        table.show(self._of, results.scored(self._of), self.look, results.version)
        self.query_one(ItemSheet).show(table.chosen, self.why_shut() or "⏎ opens it as a run")
        self.show_around(self._of)

    def why_shut(self) -> str:
        """Why the chosen item can't be opened as a run; "" if it can."""
        chosen = self.query_one(ItemTable).chosen if self.is_mounted else None
        return self.why_no_models() or why_shut(chosen)

    def why_not(self, command: Command[ItemsScreen]) -> str:  # noqa: ARG002 - one reason for all
        return self.why_shut()

    # Actions.

    def action_row(self, rows: int) -> None:
        table = self.query_one(ItemTable)
        self._choose(table.row + rows)

    def _choose(self, row: int) -> None:
        one = self.query_one(ItemTable).at(row)
        if one is not None:
            self._look_at(replace(self.look, item=one.result.item))

    @on(RowPointed)
    def point(self, message: RowPointed) -> None:
        message.stop()
        self._choose(message.place)

    @on(RowConfirmed)
    def confirm(self, message: RowConfirmed) -> None:
        message.stop()
        self._choose(message.place)
        self.action_open()

    def action_only(self, place: int) -> None:
        self._look_at(replace(self.look, shown=list(ItemFilter)[place - 1]))

    def action_sort(self) -> None:
        self._look_at(replace(self.look, by_kl=not self.look.by_kl))

    def action_scroll(self, rows: int) -> None:
        self.query_one(ItemSheet).scroll_rows(rows)

    def action_open(self) -> None:
        one = self.query_one(ItemTable).chosen
        if one is not None and (prompt := one.prompt) is not None:
            self.judging.open_task = self._of
            self.open_run(lambda base: item_settings(base, prompt), f"item {prompt.item}", first_step=True)

    def action_explain(self) -> None:
        self.explain("item" if self.panel.id == "item" else "items")

    def action_leave(self) -> None:
        if not self.zoomed:
            self.judging.open_task = ""
        super().action_leave()


def why_shut(scored: ItemScored | None) -> str:
    """Why an item has no run; "" if it has one."""
    if scored is None:
        return "No item is chosen."
    return "Its prompt is not known." if scored.prompt is None else ""
