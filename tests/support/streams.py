"""A GPU's streams on paper: finds work that reads what another stream may not have computed yet.

On a CPU everything is done in order, so a forgotten wait is never seen there. Here every `CachedModel` gets a stream of
its own by name, each tensor remembers on which stream it was last written, and every operation of torch is checked: its
inputs must be of its own stream, or of one that this stream has waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from probes.stepping.cached_model import CachedModel

DEFAULT = "default"
_WAITS = {torch.ops.aten._local_scalar_dense.default}
"""The host waits for the stream of these."""


class UnorderedRead(AssertionError):
    """An operation reads what another stream may not have computed yet."""


class _Streams(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.current = DEFAULT
        self.unordered: list[str] = []
        self._done: dict[str, int] = {}
        """How many operations each stream was given."""
        self._seen: dict[tuple[str, str], int] = {}
        """How many operations of the second one the first one waits for."""
        self._written: WeakKeyDictionary[Any, tuple[str, int]] = WeakKeyDictionary()

    def wait(self, waiting: str, awaited: str) -> None:
        """Whatever `waiting` is given from here on comes after what `awaited` was given so far."""
        self._learn(waiting, awaited, self._done.get(awaited, 0))
        for (one, other), count in list(self._seen.items()):
            if one == awaited:
                self._learn(waiting, other, count)

    def _learn(self, waiting: str, awaited: str, count: int) -> None:
        self._seen[waiting, awaited] = max(count, self._seen.get((waiting, awaited), 0))

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {one.untyped_storage() for one in _tensors((args, kwargs or {}))}
        for storage in given:
            stream, count = self._written.get(storage, (self.current, 0))
            if stream != self.current and count > self._seen.get((self.current, stream), 0):
                self.unordered.append(f"{func} on {self.current} reads what {stream} computes")
                raise UnorderedRead(self.unordered[-1])
        output = func(*args, **(kwargs or {}))
        if func in _WAITS:
            for stream in {*self._done, DEFAULT}:
                self.wait(stream, self.current)
            return output
        self._done[self.current] = self._done.get(self.current, 0) + 1
        for one in _tensors(output):
            if one.untyped_storage() not in given or func._schema.is_mutable:
                self._written[one.untyped_storage()] = self.current, self._done[self.current]
        return output


@contextmanager
def streams_on_paper(monkeypatch: Any) -> Iterator[_Streams]:
    """Gives models a stream for each lane in its block, and raises `UnorderedRead` where a wait was forgotten."""
    streams = _Streams()
    made: Callable[..., None] = CachedModel.__init__

    def init(model: Any, graph: object, lane: int = 0) -> None:
        model.lane_on_paper = f"lane {lane}"
        made(model, graph, lane)

    @contextmanager
    def on_stream(model: Any) -> Iterator[None]:
        before, streams.current = streams.current, model.lane_on_paper
        streams.wait(streams.current, before)
        try:
            yield
        finally:
            streams.current = before

    monkeypatch.setattr(CachedModel, "__init__", init)
    monkeypatch.setattr(CachedModel, "_on_stream", on_stream)
    monkeypatch.setattr(CachedModel, "join", lambda model: streams.wait(streams.current, model.lane_on_paper))
    with streams:
        yield streams


def _tensors(thing: object) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, (tuple, list)):
        for one in thing:
            yield from _tensors(one)
    elif isinstance(thing, dict):
        for one in thing.values():
            yield from _tensors(one)
