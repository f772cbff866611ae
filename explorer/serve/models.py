"""The process that holds the models: every tab that has a run is a session of it.

It listens at a Unix socket in a folder that only its user can enter, and whoever connects must know a key that only the
server and its tabs are told.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Listener
from queue import SimpleQueue
from typing import TYPE_CHECKING

from explorer.serve.told import Told
from explorer.sources.continued import ContinuedSource, spec_of
from explorer.sources.live import LiveSource, loader
from explorer.sources.shared_pair import OwnTurns, SharedPair
from explorer.sources.shown_errors import failure_of
from explorer.sources.source import Source
from probes.schema.errors import BadInput, PhierError
from probes.schema.events import Event, Explained, Noticed
from probes.schema.header import RunHeader
from probes.schema.prune_setting import Setting
from probes.schema.record import StepRecord
from probes.schema.settings import RunSettings
from probes.schema.spec import OverlapMode, PairSpec
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.pair import Pair


@dataclass(frozen=True, slots=True)
class Begin:
    """A new run."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """A recorded run that is continued after these steps."""

    header: RunHeader
    path: tuple[StepRecord, ...]
    found: tuple[Explained, ...] = ()
    """What was found about them."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Asks whether nothing happens within so many seconds; the answer is a bool."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Orders:
    """What the process serves."""

    spec: PairSpec
    settings: RunSettings
    told: Told
    key: bytes


class ModelServer:
    """Gives each connection a run of the shared models."""

    def __init__(self, spec: PairSpec, settings: RunSettings) -> None:
        self._spec, self._settings = replace(spec, overlap=OverlapMode.NONE), settings
        self._shared = SharedPair(loader(self._spec))
        self._open: set[object] = set()
        self._lock = threading.Lock()

    def serve(self, listener: Listener) -> None:
        """Takes connections until the process ends."""
        while True:
            try:
                connection = listener.accept()
            except Exception:  # noqa: BLE001 - whoever does not know the key, or hangs up at once
                continue
            threading.Thread(target=self.session, args=(connection,), daemon=True).start()

    def session(self, connection: Connection) -> None:
        """One tab's run, until it hangs up."""
        events: SimpleQueue[object] = SimpleQueue()
        threading.Thread(target=_send, args=(connection, events), daemon=True).start()
        source: Source | None = None
        me = object()
        try:
            begun = connection.recv()
            with self._lock:
                others = len(self._open)
                self._open.add(me)
            if others:
                events.put(Noticed("Shared models", _SHARED))
            try:
                source = self._source(begun, events.put)
            except PhierError as problem:
                events.put(failure_of(problem))
            else:
                source.open(events.put)
            while True:
                asked = connection.recv()
                if source is None:
                    continue
                if isinstance(asked, Idle):
                    events.put(source.wait_idle(asked.seconds))
                else:
                    source.ask(asked)
        except (EOFError, OSError):
            pass  # the tab was closed
        finally:
            with self._lock:
                self._open.discard(me)
            if source is not None:
                source.close()
            events.put(None)

    def _source(self, begun: Begin | GoOn, tell: Callable[[Event], None]) -> Source:
        turns = OwnTurns(self._shared, lambda: tell(Noticed("Waiting for the models", _WAITING)))
        if isinstance(begun, Begin):
            return LiveSource(lambda work: self._pair(self._spec.prune, work), self._settings, turns)
        given = spec_of(begun.header, self._spec)
        if (given.dense, given.pruned, given.calibration) != self._models:
            raise BadInput(
                "Other models",
                f"This server has the models of {self._spec.dense}, and the recording was made with others.",
                "Open it in a terminal: phier-tui loads the models of any recording.",
            )
        setting = given.prune
        return ContinuedSource(lambda work: self._pair(setting, work), begun.header, begun.path, turns, begun.found)

    @property
    def _models(self) -> object:
        return self._spec.dense, self._spec.pruned, self._spec.calibration

    def _pair(self, setting: Setting | None, work: Work) -> Pair:
        pair = self._shared.loaded(work)
        return pair.repruned(setting, work) if pair.twin is not None and setting is not None else pair


_SHARED = (
    "Another tab uses the same pair of models. Each has a run and a prune setting of its own; they compute in turns, "
    "so both are slower."
)
_WAITING = "Another tab loads or prunes them. This one goes on as soon as that is done."


def _send(connection: Connection, events: SimpleQueue[object]) -> None:
    """Sends what is in the queue until there is None: a tab that does not listen holds nobody up."""
    try:
        while (event := events.get()) is not None:
            connection.send(event)
    except OSError:
        pass
    finally:
        connection.close()


def main() -> None:
    """Reads its orders, says where it listens, and serves until the server that started it has gone."""
    from explorer.serve.tab import within

    orders: Orders = pickle.load(sys.stdin.buffer)
    within(orders.told)
    listener = Listener(family="AF_UNIX", backlog=16, authkey=orders.key)
    sys.stdout.write(f"{listener.address}\n")
    sys.stdout.flush()
    threading.Thread(target=ModelServer(orders.spec, orders.settings).serve, args=(listener,), daemon=True).start()
    sys.stdin.buffer.read()
    listener.close()
    os._exit(0)
