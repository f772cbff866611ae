"""A recording that begins to play as soon as it is read, for talks."""

from __future__ import annotations

from explorer.sources.replay import ReplaySource
from explorer.sources.source import Sink
from probes.schema.events import Event, RunStarted
from probes.schema.requests import Run


class Autoplay(ReplaySource):
    """Plays its first run at once; after that it is like any other recording."""

    def open(self, sink: Sink) -> None:
        def heard(event: Event) -> None:
            sink(event)
            if isinstance(event, RunStarted) and event.run == 1:
                self.ask(Run())

        super().open(heard)
