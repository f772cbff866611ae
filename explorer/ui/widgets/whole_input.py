"""A field of one line that takes a whole text: pasted line breaks stay, and are shown as marks."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.widgets import Input


class WholeInput(Input):
    """Textual's own field takes only the first line of what is pasted."""

    def on_paste(self, event: events.Paste) -> None:
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.replace(text, *self.selection)
        event.stop()
        event.prevent_default()

    @property
    def _value(self) -> Text:
        return Text(self.value.replace("\n", "↵").replace("\t", "⇥"), no_wrap=True, overflow="ignore", end="")
