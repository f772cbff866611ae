"""Keys take effect in the order in which they were pressed, however close together they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from textual.app import App
from textual.dom import DOMNode
from textual.events import Event

_LOOK_AGAIN = 1 / 30
"""Seconds after which a key that waits for a recording looks whether it is there."""
Hand = Callable[[Event], Awaitable[None]]


class KeysInOrder:
    """Textual hands every key to the widget that has the focus when the key arrives, at once. Of keys that arrive
    together, as over a slow line, later ones would miss what earlier ones do: letters after the / that opens a search
    went to the list, a letter overtook the ⌫ before it. Here a key waits until all has been done for the one before;
    and while a recording is being read, until it is there."""

    def __init__(self, app: App[int], opening: Callable[[], bool], is_for_opening: Callable[[Event], bool]) -> None:
        """`opening` says if something is being opened that keys wait for, `is_for_opening` if a key is about that."""
        self._app = app
        self._opening = opening
        self._is_for_opening = is_for_opening
        self._waiting: deque[Event] = deque()
        self._busy = False
        self._held = False
        """True while a key waits for what is being opened."""

    async def take(self, event: Event, hand_on: Hand) -> None:
        """Hands a key (or a paste) on, if none is under way, or keeps it until its turn comes."""
        if self._held and self._is_for_opening(event):
            self._waiting.clear()  # those were for what is now not opened
            await hand_on(event)
        elif self._busy:
            self._waiting.append(event)
        else:
            self._busy = True
            await self._hand(event, hand_on)

    async def _hand(self, event: Event, hand_on: Hand) -> None:
        self._held = self._opening() and not self._is_for_opening(event)
        if self._held:
            self._waiting.appendleft(event)
            self._app.set_timer(_LOOK_AGAIN, partial(self._next, hand_on))
            return
        at: DOMNode | None = self._app.focused or self._app.screen
        await hand_on(event)

        # A key goes from the queue of a widget to that of its parent, up to the app's: so does this, right behind it.
        def follow() -> None:
            nonlocal at
            while at is not None:
                node, at = at, at.parent
                if node.call_later(follow):
                    return
            end = partial(self._next, hand_on)
            if not self._app.screen.call_later(self._app.call_later, end):
                self._app.call_later(end)

        follow()

    async def _next(self, hand_on: Hand) -> None:
        """By now the screen, which a key may have opened, has its focus, and the app what the screen asked for."""
        self._held = self._busy = False
        if self._waiting:
            self._busy = True
            await self._hand(self._waiting.popleft(), hand_on)
