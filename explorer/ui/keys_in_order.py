"""Keys take effect in the order in which they were pressed, however close together they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from textual.app import App
from textual.dom import DOMNode
from textual.events import Event


class KeysInOrder:
    """Textual hands every key to the widget that has the focus when the key arrives, at once. Of keys that arrive
    together, as over a slow line, later ones would miss what earlier ones do: letters after the / that opens a search
    went to the list, a letter overtook the ⌫ before it. Here a key waits until all has been done for the one before."""

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._waiting: deque[Event] = deque()
        self._busy = False

    async def take(self, event: Event, hand_on: Callable[[Event], Awaitable[None]]) -> None:
        """Hands a key (or a paste) on, if none is under way, or keeps it until its turn comes."""
        if self._busy:
            self._waiting.append(event)
            return
        self._busy = True
        at: DOMNode | None = self._app.focused or self._app.screen
        await hand_on(event)

        # A key goes from the queue of a widget to that of its parent, up to the app's: so does this, right behind it.
        def follow() -> None:
            nonlocal at
            while at is not None:
                node, at = at, at.parent
                if node.call_later(follow):
                    return
            if not self._app.screen.call_later(self._app.call_later, end):
                self._app.call_later(end)

        # The screen, which the key may have opened, has been given its focus, and the app what the screen asked for.
        async def end() -> None:
            self._busy = False
            if self._waiting:
                await self.take(self._waiting.popleft(), hand_on)

        follow()
