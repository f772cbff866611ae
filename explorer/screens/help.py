"""Help: what a panel shows (F1), and every key (?)."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from explorer.commands import COMMANDS
from explorer.explanations import Explanation
from explorer.screens.dialog import Dialog
from explorer.view import View


class Explain(Dialog[None]):
    """What a panel is, how to read it, its formula and its source."""

    def __init__(self, explanation: Explanation) -> None:
        super().__init__()
        self.title_text = explanation.title
        self._explanation = explanation

    def body(self) -> Iterator[Widget]:
        told = self._explanation
        with VerticalScroll():
            yield Static(told.what, markup=False)
            yield Static("")
            yield Static(Text.assemble(("How to read it  ", "bold"), told.read))
            yield Static("")
            yield Static(Text(told.formula, style="bold"))
            yield Static("")
            yield Static(told.source, classes="hint", markup=False)


class Keys(Dialog[None]):
    """Every key with what it does; what is not possible now is dimmed."""

    title_text = "Keys"

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def body(self) -> Iterator[Widget]:
        table = Table.grid(padding=(0, 2))
        for command in COMMANDS:
            style = "" if command.when(self._view) else "dim"
            table.add_row(Text(command.shown, style=f"bold {style}"), Text(command.help, style=style))
        table.add_row(Text("Tab", style="bold"), Text("Moves the focus to the next panel."))
        table.add_row(Text("Ctrl+P", style="bold"), Text("Finds anything by name."))
        with VerticalScroll():
            yield Static(table)
