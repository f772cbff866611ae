"""The dialog that asks what to find. It counts what would be found while one types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from textual import on
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.marked_options import MarkedOptions
from explorer.words.token_text import fit_middle, flowing
from probes.schema.errors import BadInput

_SHOWN = 40
"""Cells of a recent search."""


@dataclass(frozen=True, slots=True)
class Findable:
    """What can be searched."""

    title: str
    about: str
    """What may be typed, in a sentence."""
    examples: Sequence[tuple[str, str]]
    """Texts that may be typed, and what each finds: first a text, then conditions."""
    earlier: Sequence[str]
    """What was searched for, the latest first."""
    count: Callable[[str], str]
    """How often a text is found: "2 of 30 steps". Raises `BadInput` if it can't be searched."""


class AskFind(Dialog[str]):
    """Asks for a text, an event or a bound on a figure; several are joined by &."""

    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Goes to the first hit from the cursor on.", label="finds"),
        Command({"down": "examples"}, "↓", "Goes to the recent searches and the examples.", label="recent, examples"),
        CANCEL,
    )

    def __init__(self, findable: Findable) -> None:
        super().__init__()
        self.title_text = findable.title
        self._findable = findable

    def body(self) -> Iterator[Widget]:
        findable = self._findable
        earlier = findable.earlier
        example = f"a text, or a condition such as {findable.examples[1][0]}"
        yield Input(earlier[0] if earlier else "", placeholder=example, id="query")
        yield Static(findable.about, id="verdict", classes="hint", markup=False)
        described = dict(findable.examples)
        width = max(map(len, described)) + 2
        recent = [(text, fit_middle(flowing(text), _SHOWN)) for text in earlier if text not in described]
        options = [Option(f"{shown:<{width - 1}} recent", id=text) for text, shown in recent]
        options += [Option(f"{text:<{width}}{about}", id=text) for text, about in findable.examples]
        yield MarkedOptions(*options, markup=False)

    @on(Input.Changed)
    def count(self, event: Input.Changed) -> None:
        found, fault = self._counted(event.value)
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault) and bool(event.value), "fault")
        verdict.update(fault or f"Found at {found}.")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        if not self._counted(event.value)[1]:
            self.dismiss(event.value)

    @on(OptionList.OptionSelected)
    def take(self, event: OptionList.OptionSelected) -> None:
        field = self.query_one("#query", Input)
        field.value = event.option_id or ""
        field.focus()
        field.cursor_position = len(field.value)

    def action_examples(self) -> None:
        self.query_one(OptionList).focus()

    def _counted(self, text: str) -> tuple[str, str]:
        """How often it is found, or the fault in it."""
        try:
            return self._findable.count(text), ""
        except BadInput as problem:
            return "", f"{problem.message} {problem.hint}".strip() if text.strip() else "Type what to find."
