"""The dialog that continues the recording in another file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from probes.system.user_folders import expanded


class AskPath(Dialog[Path]):
    """Asks for the path of a file that does not exist yet."""

    title_text = "Save the recording elsewhere"
    COMMAND_TABLE = (Command({"enter": ""}, "⏎", "Saves under this name.", label="saves"), CANCEL)

    def body(self) -> Iterator[Widget]:
        yield Static("The recording so far is copied into this file, and continues there.", markup=False)
        yield Input(placeholder="~/run.jsonl", id="path")
        yield Static("", id="verdict", classes="hint", markup=False)

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(_taken(event.value), "fault")
        verdict.update("This file exists already. A recording is never overwritten." if _taken(event.value) else "")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        if event.value.strip() and not _taken(event.value):
            self.dismiss(expanded(event.value.strip()))


def _taken(text: str) -> bool:
    try:
        return bool(text.strip()) and expanded(text.strip()).exists()
    except OSError:  # an impossible name: saving reports what is wrong with it
        return False
