"""Screens that may be closed before they are composed, as by an Esc right behind the key that opens them."""

from __future__ import annotations

from typing import Any

from textual.events import Event, Mount
from textual.screen import Screen


class Closable(Screen[Any]):
    """A screen that is not mounted if it has been closed by then: Textual gives it no widgets any more, for which its
    handlers would look in vain."""

    async def on_event(self, event: Event) -> None:
        if not (self._pruning and isinstance(event, Mount)):
            await super().on_event(event)
