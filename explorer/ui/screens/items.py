"""The items of a task with both models' answers. One opens on the main screen as it was scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen

from explorer.sources.source import Source
from explorer.state.item_list import ItemFilter, ItemLook
from explorer.state.judge_requests import JudgeRequests
from explorer.state.row_search import SearchedRow
from explorer.state.searched_rows import searched_item
from explorer.state.view import View
from explorer.ui.commands import Command, page_commands
from explorer.ui.screens.list_page import TaskPage, open_command, row_commands
from explorer.ui.screens.row_finding import find_commands
from explorer.ui.widgets.item_sheet import ItemSheet
from explorer.ui.widgets.item_table import ItemTable
from explorer.words.bound_keys import key_of
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
    *row_commands("item", "items"),
    open_command(
        "the item on the main screen, at the token that decides it, or both answers at their first split",
        "verdict",
        "Items",
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
    *find_commands("an item"),
    *page_commands("Items", "Goes back to the verdict."),
)


class ItemsScreen(TaskPage):
    """Lists the items of one task of the present setting."""

    HOME = "#items"
    AUTO_FOCUS = "#items"
    COMMAND_TABLE = ITEM_COMMANDS

    def regions(self) -> ComposeResult:
        with Horizontal(id="items-row"):
            yield ItemTable()
            yield ItemSheet()

    @property
    def look(self) -> ItemLook:
        """How this task's list is looked at; kept while other screens are shown."""
        return self.judging.looks.get(self.task_name, ItemLook())

    def _look_at(self, look: ItemLook) -> None:
        self.judging.looks[self.task_name] = look
        self.show()

    def show(self) -> None:
        results = self.judging.results
        table = self.query_one(ItemTable)
        table.show(self.task_name, results.scored(self.task_name), self.look, results.version)
        self.query_one(ItemSheet).show(table.chosen, self.why_shut() or f"{key_of('open')} opens it as a run")
        self.show_around(self.task_name, found=self.search_sentence())

    @property
    def chosen(self) -> ItemScored | None:
        return self.query_one(ItemTable).chosen

    @property
    def rows_key(self) -> object:
        return self.task_name, self.look.shown, self.look.by_kl, self.judging.results.version

    def searched_rows(self) -> Sequence[SearchedRow]:
        return [searched_item(one) for one in self.query_one(ItemTable).rows]

    @property
    def row(self) -> int:
        return self.query_one(ItemTable).row

    @property
    def count(self) -> int:
        return self.query_one(ItemTable).count if self.is_mounted else 0

    def keep_row(self, row: int) -> None:
        one = self.query_one(ItemTable).at(row)
        if one is not None:
            self._look_at(replace(self.look, item=one.result.item))

    # Actions.

    def action_only(self, place: int) -> None:
        self._look_at(replace(self.look, shown=list(ItemFilter)[place - 1]))

    def action_sort(self) -> None:
        self._look_at(replace(self.look, by_kl=not self.look.by_kl))

    def action_scroll(self, rows: int) -> None:
        self.query_one(ItemSheet).scroll_rows(rows)

    def action_explain(self) -> None:
        self.explain("item" if self.panel.id == "item" else "items")
