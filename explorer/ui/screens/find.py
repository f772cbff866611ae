"""The dialog that asks what to find in a run. It counts the steps while one types."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from explorer.state.step_query import QUERY_GRAMMAR
from explorer.state.step_search import StepSearch
from explorer.state.view import View
from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from probes.schema.counting import number_of
from probes.schema.errors import BadInput

EXAMPLES = (
    ("half", "a text of either panel, also one of several tokens"),
    ("kl>0.5", "one step's KL, on the shared text, is above 0.5 nat"),
    ("split", "the two choices differ"),
    ("margin<0.1", "the dense model was undecided: by less than 0.1 nat"),
    ("h.angle>20", "any figure of a step, by its name in the JSON"),
    ("kl>1 & split", "both at one step"),
    ("marked", "also diverge, forced, tied, invalid, eos"),
    ('"split"', "in quotation marks: the text, not the event"),
)


class AskFind(Dialog[StepSearch]):
    """Asks for a query of `explorer.state.step_query.QUERY_GRAMMAR`."""

    title_text = "Find in this run"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Goes to the first hit from the cursor on.", label="finds"),
        Command({"down": "examples"}, "↓", "Goes to the recent searches and the examples.", label="recent, examples"),
        CANCEL,
    )

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def body(self) -> Iterator[Widget]:
        earlier = self._view.searched
        yield Input(earlier[0] if earlier else "", placeholder=QUERY_GRAMMAR, id="query")
        yield Static("A text, or a condition on the figures of a step.", id="verdict", classes="hint", markup=False)
        described = dict(EXAMPLES)
        options = [Option(f"{text:<16}recent", id=text) for text in earlier if text not in described]
        options += [Option(f"{text:<16}{about}", id=text) for text, about in EXAMPLES]
        yield OptionList(*options, markup=False)

    @on(Input.Changed)
    def count(self, event: Input.Changed) -> None:
        search, fault = read_search(event.value)
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault) and bool(event.value), "fault")
        verdict.update(fault if search is None else f"Found at {self._count(search)}.")

    def _count(self, search: StepSearch) -> str:
        view = self._view
        found = search.steps(view.path, view.follow, None, view.is_marked)
        return f"{len(found):,} of {number_of(view.newest, 'step')}"

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        search, _ = read_search(event.value)
        if search is not None:
            self._view.searched = (search.text, *(one for one in self._view.searched if one != search.text))[:8]
            self.dismiss(search)

    @on(OptionList.OptionSelected)
    def take(self, event: OptionList.OptionSelected) -> None:
        field = self.query_one("#query", Input)
        field.value = event.option_id or ""
        field.focus()
        field.cursor_position = len(field.value)

    def action_examples(self) -> None:
        self.query_one(OptionList).focus()


def read_search(text: str) -> tuple[StepSearch | None, str]:
    """The search that is typed, or the fault in it."""
    try:
        return StepSearch(text), ""
    except BadInput as problem:
        return None, f"{problem.message} {problem.hint}".strip() if text.strip() else "Type what to find."
