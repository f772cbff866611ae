"""The search for passages where the two models differ most. One opens on the main screen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import get_args

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from explorer.state.item_list import passage_settings
from explorer.state.row_search import Searchable, SearchedRow
from explorer.state.searched_rows import PASSAGES, searched_passage
from explorer.ui.commands import Command, page_commands
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.screens.list_page import ListPage, open_command, row_commands
from explorer.ui.screens.row_finding import find_commands
from explorer.ui.widgets.passage_sheet import PassageSheet
from explorer.ui.widgets.passage_table import PassageTable, source_of
from explorer.ui.widgets.plain_text import PlainText
from explorer.words.bound_keys import key_of
from explorer.words.verdict_figures import ORDER_NAMES
from probes.schema.errors import PhierError
from probes.schema.events import Failed
from probes.schema.passages import Order, Passage, Passages
from probes.schema.requests import FindPassages

DEFAULT_WHERE = "answers"
"""The set that the field begins with: prompts whose answers are generated."""
ORDERS: tuple[Order, ...] = get_args(Order)


PASSAGE_COMMANDS: tuple[Command[PassagesScreen], ...] = (
    Command(
        {"P,shift+p,r": "ask"},
        "P",
        "Searches a text, a folder, or prompts that ship.",
        label="where",
        name="Passages: Where to look",
        when=lambda screen: screen.has_models,
        weight=90,
    ),
    *row_commands("passage", "passages"),
    open_command("the passage on the main screen, scored after its context", "passages", "Passages"),
    Command(
        {"s": "order"},
        "s",
        "Sorts the passages by the next figure: mean KL, largest KL, first split, Δp, rank change.",
        label="order",
        name="Passages: Next order",
        when=lambda screen: screen.count > 0 and screen.has_models,
        weight=70,
    ),
    *find_commands("a passage"),
    *page_commands("Passages", "Stops the search, or goes back."),
)


class PassagesScreen(ListPage):
    """Lists the passages that were found under the present setting."""

    HOME = "#passages"
    AUTO_FOCUS = "#passages"
    COMMAND_TABLE = PASSAGE_COMMANDS

    def regions(self) -> ComposeResult:
        with Vertical(id="found"):
            yield PassageTable()
            yield PassageSheet()

    def on_mount(self) -> None:
        super().on_mount()
        if self.passages is None and not self.judging.searching and self.has_models:
            self.action_ask()

    def show(self) -> None:
        table = self.query_one(PassageTable)
        table.show(self.passages, self.row, self._empty())
        self.query_one(PassageSheet).show(self.chosen, self.why_shut() or f"{key_of('open')} opens it as a run")
        self.show_around("where do they differ?", searching=True, found=self.search_sentence())

    @property
    def passages(self) -> Passages | None:
        found = self.judging.results.passages
        return found.found if found is not None else None

    @property
    def searchable(self) -> Searchable:
        return PASSAGES

    @property
    def rows_key(self) -> object:
        return self.judging.results, self.passages

    def searched_rows(self) -> Sequence[SearchedRow]:
        return [searched_passage(one) for one in self.passages.rows] if self.passages is not None else []

    @property
    def row(self) -> int:
        return max(0, min(self.judging.passage_row, self.count - 1))

    @property
    def count(self) -> int:
        return len(self.passages.rows) if self.passages is not None else 0

    def keep_row(self, row: int) -> None:
        self.judging.passage_row = row

    @property
    def chosen(self) -> Passage | None:
        """The passage under the cursor."""
        found = self.passages
        return found.rows[self.row] if found is not None and found.rows else None

    def why_shut(self) -> str:
        """Why the chosen passage can't be opened as a run; "" if it can."""
        return self.why_no_models() or ("No passage is chosen." if self.chosen is None else "")

    def _empty(self) -> str:
        answer = self.judging.search_answer
        if isinstance(answer, Failed):
            return f"{answer.title}. {answer.message} {answer.hint}".strip()
        if self.judging.searching:
            return "The first passages are being scored."
        if not self.view.live:
            more = f" {key_of('leave')}, then {key_of('models')} loads the models." if self.view.revivable else ""
            return f"Searching needs the models: a recording holds only the measured steps.{more}"
        if self.passages is not None:
            return "No passage was found there."
        return (
            f"{key_of('ask')} searches a text, a folder, a JSON Lines file or prompts that ship for what this setting "
            "breaks."
        )

    # Actions.

    def action_ask(self) -> None:
        def answered(request: FindPassages | None) -> None:
            if request is not None:
                self.judging.passage_row = 0
                self.judging.find(request)
                self.show()

        self.app.push_screen(AskPassages(self.judging.search), answered)

    def action_order(self) -> None:
        """Searches again in the next order: the passages listed are those that come first in it."""
        search, found = self.judging.search, self.passages
        if search is not None and found is not None:
            order = ORDERS[(ORDERS.index(found.order) + 1) % len(ORDERS)]
            self.judging.passage_row = 0
            self.judging.find(FindPassages(search.where, order, search.most))
            self.show()

    def action_open(self) -> None:
        row = self.chosen
        if row is not None:
            self.judging.stop_search()
            self.open_run(lambda base: passage_settings(base, row), f"passage {source_of(row)}", first_step=False)

    def action_explain(self) -> None:
        self.explain("passages")

    def action_leave(self) -> None:
        if not self.zoomed and self.search is None and self.judging.stop_search():
            self.notify("It stops after the present passage.", title="Stopping the search")
        else:
            super().action_leave()


class AskPassages(Dialog[FindPassages]):
    """Asks where to search, and by which figure."""

    title_text = "Find where they differ"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Searches.", label="searches"),
        Command({"tab": ""}, "Tab", "Goes to the next field.", label="next field"),
        CANCEL,
    )

    def __init__(self, before: FindPassages | None) -> None:
        super().__init__()
        self._before = before

    def body(self) -> Iterator[Widget]:
        yield Static(
            "The passages where this setting changes the model most: of a text, a folder of texts, a JSON Lines file, "
            "or a set of items that ships.",
            markup=False,
        )
        before = self._before
        for name, value, about in (
            ("where", before.where if before else DEFAULT_WHERE, "a file, a folder, or the name of a set"),
            ("by", ORDER_NAMES[before.order if before else "mean_kl"], ", ".join(ORDER_NAMES.values())),
            ("how many", str(before.most if before else 50), "50"),
        ):
            with Horizontal(classes="row"):
                yield Label(name, markup=False)
                yield Input(value, placeholder=about, id=name.replace(" ", "-"))
        yield PlainText("", id="verdict", classes="hint")

    @on(Input.Changed)
    def check(self) -> None:
        found = self._request()
        by = ", ".join(ORDER_NAMES.values())
        ready = f"By {by}. It runs beside stepping; {key_of('leave')} stops it."
        fault = isinstance(found, str) and bool(self.query_one("#where", Input).value)
        self._say(found if isinstance(found, str) else with_keys(self, ready), fault=fault)

    @on(Input.Submitted)
    async def submit(self) -> None:
        """Closes the dialog only if there is something to search: until then an earlier search goes on."""
        found = self._request()
        if isinstance(found, str):
            return
        fault = await asyncio.to_thread(_fault, found.where)
        if fault:
            self._say(fault, fault=True)
        else:
            self.dismiss(found)

    def _say(self, sentence: str, *, fault: bool) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(fault, "fault")
        verdict.update(sentence)

    def _request(self) -> FindPassages | str:
        values = {field.id: field.value for field in self.query(Input)}
        return search_of(values.get("where", ""), values.get("by", ""), values.get("how-many", ""))


def _fault(where: str) -> str:
    """Why nothing can be searched there; "" if it can."""
    from probes.tasks.item_files import shipped_names
    from probes.tasks.text_files import check_texts

    try:
        if where not in shipped_names():
            check_texts([where])
    except PhierError as problem:
        return f"{problem.message} {problem.hint}".strip()
    return ""


def search_of(where: str, by: str, most: str) -> FindPassages | str:
    """A request from the texts of the fields, or a sentence on what is wrong with them."""
    orders = [
        order for order, name in ORDER_NAMES.items() if by.strip() and name.lower().startswith(by.strip().lower())
    ]
    if not where.strip():
        return "Name a file, a folder, or a set that ships."
    if len(orders) != 1:
        return f"Choose one of {', '.join(ORDER_NAMES.values())}."
    if not most.strip().isdecimal() or not 1 <= int(most) <= 1000:
        return "List from 1 to 1,000 passages."
    return FindPassages(where.strip(), orders[0], int(most))
