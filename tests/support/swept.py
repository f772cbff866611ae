"""A source of a sweep that tests make grow."""

from __future__ import annotations

from pathlib import Path

from explorer.sources.kept_sweep import SweepSource, read_event
from explorer.sources.source import Sink
from probes.schema.requests import Judge, Request
from probes.schema.sweep import Sweep


class ScriptedSweep(SweepSource):
    """Gives the sweep that it is told to."""

    def __init__(self, sweep: Sweep, running: frozenset[str] = frozenset()) -> None:
        super().__init__(Path("sweep.jsonl"))
        self._given, self._running = sweep, running

    def open(self, sink: Sink) -> None:
        self._sink = sink
        self._tell()

    def become(self, sweep: Sweep, running: frozenset[str] = frozenset()) -> None:
        """The file has grown."""
        self._given, self._running = sweep, running
        self._tell()

    def ask(self, request: Request) -> None:
        if isinstance(request, Judge):
            self._margin = request.margin
            self._tell()

    def close(self) -> None:
        pass

    def wait_idle(self, seconds: float) -> bool:
        return True

    def _tell(self) -> None:
        self._sink(read_event(self._given, self._running, self._margin))
