"""A source of steps: live models, a recording or toy models. One interface, so that the screens can't tell which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from probes.schema.events import Event
from probes.schema.requests import Request

Sink = Callable[[Event], None]
"""Takes events in order; safe to call from any thread."""


class Source(Protocol):
    """Gives steps on request.

    `open` and `ask` return at once; the answers arrive as events through the sink, from any thread, and carry the id of
    the request.
    """

    live: bool
    """True if models compute; False if everything that can be shown was recorded."""

    def open(self, sink: Sink) -> None:
        """Starts the work. First events: `WorkProgressed`…, then `RunStarted`, or `Failed`."""

    def ask(self, request: Request) -> None:
        """Asks for something. A request that this source can't answer is answered by `Failed`."""

    def close(self) -> None:
        """Stops all work and returns within a second; nothing measured is lost."""

    def wait_idle(self, seconds: float) -> bool:
        """Waits until everything asked is answered and nothing happens by itself; False if that took longer."""
