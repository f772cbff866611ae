"""The dialog that forks with any token, typed as text."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.words.token_text import quoted
from probes.schema.until import unescaped


class AskToken(Dialog[str]):
    """Asks for the text of one token."""

    title_text = "Fork with a token"
    COMMAND_TABLE = (Command({"enter": ""}, "⏎", "Forks with the token.", label="forks"), CANCEL)

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def body(self) -> Iterator[Widget]:
        yield Static(f"Which token should be forced at step {self._step}?", markup=False)
        yield Input(placeholder="its text, with the space before it: “ half”", id="token")
        yield Static("", id="verdict", classes="hint", markup=False)

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        verdict = quoted(unescaped(event.value)) if event.value else "Type \\n for a line break, \\t for a tab."
        self.query_one("#verdict", Static).update(verdict)

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        if event.value:
            self.dismiss(unescaped(event.value))
        else:
            self.query_one("#verdict", Static).update("Type the text of a token.")
