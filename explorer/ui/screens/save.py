"""The dialog that continues the recording in another file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from textual import on
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from probes.schema.errors import BadInput
from probes.system.fence import is_fenced
from probes.system.user_folders import expanded


class AskPath(Dialog[Path]):
    """Asks for the path of a file that does not exist yet."""

    title_text = "Save the recording elsewhere"
    COMMAND_TABLE = (Command({"enter": ""}, "⏎", "Saves under this name.", label="saves"), CANCEL)

    def body(self) -> Iterator[Widget]:
        yield Static("The recording so far is copied into this file, and continues there.", markup=False)
        yield Input(placeholder="run.jsonl" if is_fenced() else "~/run.jsonl", id="path")
        yield Static("", id="verdict", classes="hint", markup=False)

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        self._say(_fault(event.value.strip()))

    def _say(self, fault: str) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault), "fault")
        verdict.update(fault)

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        name = event.value.strip()
        if not name:
            self._say("Type the path of a new file.")
        elif not _fault(name):
            self.dismiss(expanded(name))


def _fault(name: str) -> str:
    """Why a new file can't have this name; "" if it can, or if saving says why not."""
    try:
        taken = bool(name) and expanded(name).exists()
    except BadInput as problem:
        return f"{problem.message} {problem.hint}"
    except OSError:  # an impossible name
        return ""
    return "This file exists already. A recording is never overwritten." if taken else ""
