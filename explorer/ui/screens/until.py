"""The dialog that runs until a condition, which is checked while it is typed. Recent conditions are listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual import on
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.history_field import HistoryInput, remember
from explorer.ui.widgets.marked_options import MarkedOptions
from probes.schema.errors import BadInput
from probes.schema.until import UNTIL_GRAMMAR, check_watched, parse_until

CONDITIONS = (
    ("split", "the two choices differ"),
    ("kl>2", "one step's KL, on the shared text, is above 2 nat"),
    ("ΣKL>10", "the KL so far, on the shared text, is above 10 nat"),
    ("survival<0.01", "the two samplers agree with less than 1 %"),
    ("diverge", "the two texts differ from here on"),
    ("loop", "either text repeats itself"),
    ("h.cos<0.9", "any figure of a step, by its name in the JSON"),
    ("eos", "a text ends"),
    ("token=TEXT", "this token is taken"),
    ("steps=20", "twenty more steps are done"),
)


class AskUntil(Dialog[str]):
    """Asks for a condition of `probes.schema.until.UNTIL_GRAMMAR`."""

    title_text = "Run until"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Runs until the condition is met.", label="runs"),
        Command({"up": ""}, "↑", "Shows what was typed earlier and begins like this.", label="earlier"),
        Command({"down": "examples"}, "↓", "Goes to the recent conditions and the examples.", label="recent, examples"),
        CANCEL,
    )

    def __init__(self, earlier: Sequence[str] = (), watched: int = 0) -> None:
        """`watched` is the number of groups that the run watches."""
        super().__init__()
        self._earlier = earlier
        self._watched = watched

    def body(self) -> Iterator[Widget]:
        first = self._earlier[0] if self._earlier else "split"
        yield HistoryInput("until", first, placeholder=UNTIL_GRAMMAR, id="condition")
        yield Static("", id="verdict", classes="hint", markup=False)
        described = dict(CONDITIONS)
        known = [text for text in self._earlier if text not in described]
        options = [Option(f"{text:<16}recent", id=text) for text in known]
        options += [Option(f"{text:<16}{about}", id=text) for text, about in CONDITIONS]
        yield MarkedOptions(*options, markup=False)

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        fault = condition_fault(event.value, self._watched)
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault), "fault")
        verdict.update(fault or "Pauses after the step that meets it.")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        if not condition_fault(event.value, self._watched):
            remember(self.app, ("until", event.value))
            self.dismiss(event.value)  # not stripped: a token may be a space

    @on(OptionList.OptionSelected)
    def take(self, event: OptionList.OptionSelected) -> None:
        field = self.query_one("#condition", Input)
        field.value = event.option_id or ""
        field.focus()
        if field.value == "token=TEXT":
            field.value = "token="
        field.cursor_position = len(field.value)

    def action_examples(self) -> None:
        self.query_one(OptionList).focus()


def condition_fault(condition: str, watched: int = 0) -> str:
    """The fault in a condition for a run that watches so many groups of tokens, or "" if there is none."""
    try:
        check_watched(parse_until(condition), watched)
    except BadInput as problem:
        return f"{problem.message} {problem.hint}".strip()
    return ""
