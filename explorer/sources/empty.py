"""The source before anything is chosen: it has no steps and answers no request."""

from __future__ import annotations

from explorer.sources.source import Sink
from probes.schema.requests import Request


class EmptySource:
    """A source that shows nothing."""

    live = False

    def open(self, sink: Sink) -> None: ...

    def ask(self, request: Request) -> None: ...

    def close(self) -> None: ...

    def wait_idle(self, seconds: float) -> bool:  # noqa: ARG002 - the interface's
        return True
