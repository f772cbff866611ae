"""A queue of events for the interface: any thread puts them in, the drawing thread takes them out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from probes.schema.events import Event


class Mailbox:
    """Keeps every event in order. Rings once, however many events arrive before it is emptied."""

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._events: deque[Event] = deque()
        self._rung = False
        self._lock = threading.Lock()

    def put(self, event: Event) -> None:
        """Takes an event; safe from any thread."""
        with self._lock:
            self._events.append(event)
            ring, self._rung = not self._rung, True
        if ring:
            self._ring()

    @property
    def filled(self) -> bool:
        return bool(self._events)

    def empty(self) -> list[Event]:
        """All events so far, oldest first."""
        with self._lock:
            found = list(self._events)
            self._events.clear()
            self._rung = False
        return found
