"""The prune setting as text: checked while it is typed, then the pruned model is made anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from explorer.screens.dialog import Dialog
from probes.errors import BadInput

FIELD_WIDTH = 56
"""Up to this length a setting stands whole in its field, and carets under it point at the fault."""
EXAMPLES = (
    ("wanda:0.5", "half of all weights, by |weight| × activation"),
    ("magnitude:0.3", "the smallest 30 % of each matrix"),
    ("wanda:2:4", "two of every four weights"),
    ("drop-attn@layers=20,22", "two attention sublayers left out"),
    ("drop-mlp@layers=12", "one MLP left out"),
    ("wanda:0.5@layers=8-21", "the middle layers only"),
)


class AskSetting(Dialog[str]):
    """Gives a prune setting, METHOD:AMOUNT[@TARGETS] joined by +."""

    title_text = "Prune"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("down", "examples", show=False)]
    foot = "⏎ prunes anew · ↓ examples and earlier ones · Esc leaves it"

    def __init__(self, present: str, earlier: Sequence[str] = ()) -> None:
        super().__init__()
        self._present = present
        self._earlier = [text for text in earlier if text != present]

    def body(self) -> Iterator[Widget]:
        yield Input(self._present, placeholder="METHOD:AMOUNT[@TARGETS] + …", id="setting")
        yield Static("", id="verdict", classes="hint", markup=False)
        described = dict(EXAMPLES)
        options = [Option(f"{text:<25}earlier", id=text) for text in self._earlier if text not in described]
        options += [Option(f"{text:<25}{about}", id=text) for text, about in EXAMPLES]
        yield OptionList(*options, markup=False)
        yield Static("The same prompt is run again on the new model.", classes="hint", markup=False)

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        fault = fault_of(event.value)
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault), "fault")
        verdict.update(fault or "METHOD:AMOUNT[@TARGETS], joined by +, read left to right.")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        if not fault_of(event.value):
            self.dismiss(event.value.strip())

    @on(OptionList.OptionSelected)
    def take(self, event: OptionList.OptionSelected) -> None:
        field = self.query_one("#setting", Input)
        field.value = event.option_id or ""
        field.focus()
        field.cursor_position = len(field.value)

    def action_examples(self) -> None:
        self.query_one(OptionList).focus()


def fault_of(setting: str) -> str:
    """What is wrong with a prune setting, or "" where nothing is."""
    from probes.prune.setting import BadSetting, parse

    try:
        parse(setting)
    except BadSetting as problem:
        pointer = problem.pointer.splitlines()[-1] if len(problem.text) <= FIELD_WIDTH else ""
        return f"{pointer}\n{problem.message} {problem.hint}".strip("\n")
    except BadInput as problem:
        return f"{problem.message} {problem.hint}".strip()
    return ""
