"""A model with its cache whose steps a GPU repeats from a captured graph, without Python between their operations.

A graph is the same operations on the same memory every time, so it needs a cache of fixed size. What is read in several
pieces, exchanged or differentiated goes through the ordinary cache: what was read is where it was used last, as with
the models of `reading_process`. A graph is used only if its first output is that of the ordinary pass, within
`TOLERANCE`, and is made again when a tensor or a module of the model was replaced, as pruning does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel, StaticCache
from transformers.cache_utils import DynamicLayer, StaticLayer

from probes.stepping.cached_model import CachedModel, CacheLost, Context, Done, Held, NextTokenOutput, Reading
from probes.system.progress import UNWATCHED, Work

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.05}
"""The largest error of a logit, as a share of the largest logit, with which a graph is used."""
LEAST_ROOM = 256
"""Tokens for which a first graph has room; the next has twice as much."""
_WARM_UP = 3
Replay = Callable[[], object]


@dataclass(slots=True)
class Graphs:
    """What the graphs of one model, or of two that are compared, have in common."""

    shared: bool = False
    refused: str = ""
    """Why there are none."""
    untold: str = ""
    """A sentence about that, until it was taken."""


class GraphedModel(CachedModel):
    """A `CachedModel` whose started single tokens come from a graph. `refused` says why none do; "" as long as they do.

    On a CPU, where nothing can be captured, the same operations are carried out. Two models that are compared have
    their `graphs` in common: a graph's last bits are not those of the ordinary pass, so either both have one or none.
    """

    def __init__(self, model: PreTrainedModel, lane: int = 0, graphs: Graphs | None = None) -> None:
        self._graphs = graphs or Graphs()
        self._by_graph = False
        """Is anything of what it has read from a graph?"""
        self._here: Held
        self._step: _StaticStep | None = None
        """The static cache and its graph."""
        self._away: list[list[int]] | None = None
        """The tokens in the static cache, if what was read last is there."""
        super().__init__(model, lane)
        self._refuse(self._why_not())

    @property
    def refused(self) -> str:
        return self._graphs.refused

    def _refuse(self, why: str) -> None:
        if why and not self.refused:
            self._graphs.refused, self._graphs.untold = why, f"{type(self.model).__name__} has no graph: {why}."

    @property
    def _held(self) -> Held:
        if self._away is not None:
            assert self._step is not None
            with self._on_stream():
                self._here = Held(self._away, self._step.dynamic(len(self._away[0])))
            self._away = None
        return self._here

    @_held.setter
    def _held(self, held: Held) -> None:
        self._here, self._away = held, None

    @property
    def lost(self) -> bool:
        return self._by_graph and bool(self.refused)

    def take_news(self) -> str:
        news, self._graphs.untold = self._graphs.untold, ""
        return news and f"The models are stepped without graphs. {news}"

    def apart(self) -> GraphedModel:
        other = copy.copy(self)
        other._step, other._held = None, self._held.apart()
        return other

    def forget(self) -> None:
        super().forget()
        self._step, self._by_graph = None, False

    @torch.inference_mode()
    def start(self, contexts: Sequence[Context], work: Work = UNWATCHED, positions: int = 1) -> Reading:
        length = len(contexts[0])
        if self.refused or not length or positions > 1:
            return super().start(contexts, work, positions)
        before = [list(context[:-1]) for context in contexts]
        if not self._holds(before):
            with self._reading(contexts):
                self._fill(contexts, work)
            if length < 2:  # there is no layer's shape yet
                return super().start(contexts, work)
            expected = self._load(contexts)
            if self._step is None:
                assert expected is not None
                return Done(expected)
        assert self._step is not None
        with self._reading(contexts):
            output = self._step([context[-1] for context in contexts], length - 1)
        self._here, self._away = self._nothing(), [list(context) for context in contexts]
        self._by_graph = True
        return Done(output)

    def _holds(self, rows: list[list[int]]) -> bool:
        """Can a step go on from these tokens with the graph as it is?"""
        step, there = self._step, self._away
        if step is None or there is None or len(there) != len(rows) or len(rows[0]) >= step.room or step.stale:
            return False
        size = len(rows[0])
        return all(row == held[:size] for row, held in zip(rows, there, strict=True))

    def _load(self, contexts: Sequence[Context]) -> NextTokenOutput | None:
        """Puts what was read into a static cache. A new graph is tried first; what it is compared with is returned."""
        held, count = self._held, len(contexts[0])
        step = self._step
        if step is not None and step.fits(len(contexts), count) and not step.stale:
            with self._on_stream():
                step.load(held.cache)
            return None
        self._step = None  # frees its memory before the next one takes as much
        room = LEAST_ROOM
        while room < 2 * count:
            room *= 2
        before, refused = held.apart(), ""
        expected = self._read(contexts)
        self._held = before
        try:
            with self._on_stream():
                made = _StaticStep(self, before.cache, len(contexts), room)
                made.load(before.cache)
                made.capture(self._stream)
                made.load(before.cache)
                found = made([context[-1] for context in contexts], count - 1)
                made.load(before.cache)
                refused = _refusal(found, expected)
        except Exception as problem:  # noqa: BLE001 - of any architecture: it is read as ever then
            said = str(problem).partition("\n")[0][:200]
            refused = f"none could be made: {type(problem).__name__}: {said}"
        if refused:
            self._refuse(refused)
            if self._graphs.shared:
                raise CacheLost("A model has no graph, so both go on without.")
            self._held = before
            self._fill(contexts)
            return self._read(contexts)
        self._step = made
        return None

    def _why_not(self) -> str:
        if self._recurrent or self._rotary:
            return "its cache can't be set back"
        if not self._forward.takes_positions:
            return "it takes no positions"
        cache: Any = StaticCache(config=self.model.config, max_cache_len=8)
        if any(type(layer) is not StaticLayer for layer in cache.layers):
            return "a layer looks back at a window of tokens"
        return ""


def graphed(dense: PreTrainedModel, pruned: PreTrainedModel) -> tuple[GraphedModel, GraphedModel]:
    """Two models that are compared: either both are stepped from graphs or none is."""
    graphs = Graphs(shared=True)
    return GraphedModel(dense, 0, graphs), GraphedModel(pruned, 1, graphs)


class _StaticStep:
    """One token of a batch, with a cache of fixed size."""

    def __init__(self, owner: CachedModel, like: DynamicCache, rows: int, room: int) -> None:
        self._owner, self.room, self._rows = owner, room, rows
        self._cache: Any = StaticCache(config=owner.model.config, max_cache_len=room)
        layers: list[Any] = list(self._cache.layers)  # which transformers types too widely
        for static, one in zip(layers, like.layers, strict=True):
            if type(one) is not DynamicLayer or one.keys is None or one.values is None:
                raise ValueError("a layer keeps no keys and values of all tokens")
            static.lazy_initialization(one.keys, one.values)
        device = owner.device
        self._ids = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._position = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._output: NextTokenOutput | None = None
        self._replay: Replay = self._operations
        self._tensors = list(_parts(owner.model))

    @property
    def stale(self) -> bool:
        """Was a tensor or a module of the model replaced?"""
        return any(place.get(name) is not one for place, name, one in self._tensors)

    def fits(self, rows: int, tokens: int) -> bool:
        return rows == self._rows and tokens <= self.room

    def load(self, cache: DynamicCache) -> None:
        """Takes over what was read."""
        layers: list[Any] = list(cache.layers)
        for static, one in zip(self._cache.layers, layers, strict=True):
            size = one.keys.shape[-2]
            static.keys[:, :, :size].copy_(one.keys)
            static.values[:, :, :size].copy_(one.values)

    def dynamic(self, size: int) -> DynamicCache:
        """What was read, as the ordinary cache."""
        found = DynamicCache()
        for number, static in enumerate(self._cache.layers):
            found.update(static.keys[:, :, :size].clone(), static.values[:, :, :size].clone(), number)
        return found

    def capture(self, stream: torch.cuda.Stream | None) -> None:
        """From here on, the operations are repeated without Python."""
        if stream is None:
            return
        for _ in range(_WARM_UP):
            self._operations()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            self._operations()
        self._replay = graph.replay

    def __call__(self, last: Sequence[int], position: int) -> NextTokenOutput:
        """The output after a last token of each row, at this position."""
        self._ids.copy_(torch.tensor(last)[:, None])
        self._position.fill_(position)
        for layer in self._cache.layers:
            layer.cumulative_length.fill_(position)
        self._replay()
        assert self._output is not None
        return NextTokenOutput(self._output.hidden.clone(), self._output.logits.clone())

    def _operations(self) -> None:
        hidden, logits = self._owner._forward(self._ids, self._position, self._cache)
        self._output = NextTokenOutput(hidden[:, -1], logits[:, -1])


def _parts(model: nn.Module) -> list[tuple[Mapping[str, object], str, object]]:
    """Every module and every tensor of a model with its place."""
    stores = [store for one in model.modules() for store in (one._modules, one._parameters, one._buffers)]
    return [(store, name, one) for store in stores for name, one in store.items()]


def _refusal(found: NextTokenOutput, expected: NextTokenOutput) -> str:
    """Why a graph is not used; "" if its output is right."""
    allowed = TOLERANCE.get(expected.logits.dtype, 0.0)
    apart = _apart(found.logits, expected.logits)
    same = bool((found.logits.argmax(-1) == expected.logits.argmax(-1)).all())
    if apart <= allowed and (same or apart == 0 or expected.logits.dtype != torch.float32):
        return ""
    return f"its logits differ by {apart:.2g} of the largest one"


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().max() / b.float().abs().max())
