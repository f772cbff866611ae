"""The prompt editor. A new prompt starts a new run on the same models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from textual.widget import Widget
from textual.widgets import Static, TextArea

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.checkbox import CheckboxLine
from probes.schema.settings import Follow, RunSettings


class AskPrompt(Dialog[RunSettings]):
    """Asks for a prompt, and returns the settings with it."""

    title_text = "Prompt"
    COMMAND_TABLE = (
        Command(
            {"f2": "start"}, "F2", "Starts a new run.", label="starts a new run", name="Prompt: Start", priority=True
        ),
        Command({"tab": ""}, "Tab", "Moves the focus to the box below.", label="to the box below"),
        CANCEL,
    )

    def __init__(self, settings: RunSettings) -> None:
        super().__init__()
        self._settings = settings

    def body(self) -> Iterator[Widget]:
        area = TextArea(self._settings.prompt, soft_wrap=True, tab_behavior="focus", id="prompt")
        area.move_cursor(area.document.end)
        yield area
        yield CheckboxLine("send it unchanged, without the chat template", self._settings.raw, id="raw")
        yield Static(
            "A new run starts. The present one stays in the recording.", classes="hint", id="verdict", markup=False
        )

    def action_start(self) -> None:
        prompt = self.query_one("#prompt", TextArea).text
        if not prompt and self._settings.follow is not Follow.TEXT:
            verdict = self.query_one("#verdict", Static)
            verdict.add_class("fault")
            verdict.update("A run needs a prompt of at least one character.")
            return
        self.dismiss(replace(self._settings, prompt=prompt, raw=self.query_one("#raw", CheckboxLine).value))
