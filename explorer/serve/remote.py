"""Runs of the models in another process, for a tab: the source behind the screens is at the other end of a socket."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from explorer.serve.models import Begin, GoOn, Idle
from explorer.sources.launcher import ItemAsRun, ModelLauncher
from explorer.sources.source import Sink, Source
from probes.schema.errors import BadInput
from probes.schema.events import Explained, Failed
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.requests import Request
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec

if TYPE_CHECKING:
    from probes.schema.items import ItemSet

_GONE = "The process with the models has ended. What was measured is in the recording."


class RemoteSource:
    """A run of the shared models."""

    live = True

    def __init__(self, address: str, key: bytes, begun: Begin | GoOn) -> None:
        self._address, self._key, self._begun = address, key, begun
        self._connection: Connection | None = None
        self._sink: Sink = lambda _event: None
        self._idle: SimpleQueue[bool] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        """Guards sending."""

    def open(self, sink: Sink) -> None:
        self._sink = sink
        if self._connection is not None:
            self._connection.close()  # it failed, and is tried again
        try:
            self._connection = Client(self._address, family="AF_UNIX", authkey=self._key)
        except (OSError, EOFError):
            self._sink(Failed("No models", _GONE, "Start the server again."))
            return
        self._send(self._begun)
        threading.Thread(target=self._listen, args=(self._connection,), daemon=True, name="models").start()

    def ask(self, request: Request) -> None:
        self._send(request)

    def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            with self._lock, suppress(OSError):
                self._connection.close()

    def wait_idle(self, seconds: float) -> bool:
        self._send(Idle(seconds))
        try:
            return self._idle.get(timeout=seconds + 5)
        except Empty:
            return False

    def _send(self, what: object) -> None:
        with self._lock, suppress(OSError):  # if the other end has gone, `_listen` says so
            if self._connection is not None and not self._closed:
                self._connection.send(what)

    def _listen(self, connection: Connection) -> None:
        while True:
            try:
                event = connection.recv()
            except (EOFError, OSError, TypeError):  # a connection that is closed meanwhile raises any of them
                break
            if isinstance(event, bool):
                self._idle.put(event)
            elif not self._closed:
                self._sink(event)
        if not self._closed and connection is self._connection:
            self._sink(Failed("No models", _GONE, "Start the server again."))


class SharedLauncher(ModelLauncher):
    """Launches runs of the models that all tabs share."""

    def __init__(self, address: str, key: bytes) -> None:
        super().__init__(PairSpec(prune=None, pruned="shared"), RunSettings("shared"))
        self._address, self._key = address, key

    def begin(self) -> Source:
        return self._recorded(RemoteSource(self._address, self._key, Begin()))

    def begin_tour(self) -> Source:
        return self.begin()

    def go_on(self, header: RunHeader, path: Sequence[StepRecord], found: Sequence[Explained] = ()) -> Source:
        return self._recorded(RemoteSource(self._address, self._key, GoOn(header, tuple(path), tuple(found))))

    def open_item(self, spec: PairSpec, items: ItemSet, item: str, as_run: ItemAsRun) -> Source:  # noqa: ARG002
        raise BadInput("Not in a browser", "Items are opened as runs in a terminal only.", "Use phier-tui there.")
