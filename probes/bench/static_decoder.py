"""Greedy decoding with a static cache, as one CUDA graph if asked: the least that Python can cost a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, StaticCache

from probes.models.devices import input_device
from probes.models.kv_cache import cache_name, is_recurrent
from probes.schema.errors import Failure

_WARM_UP = 3


class StaticDecoder:
    """Models that have each read a context, but for its last token, into a cache of fixed size.

    A step feeds each model the token that it chose before, and is the same operations on the same memory every time, so
    that a GPU can repeat it from a graph without Python.
    """

    @torch.inference_mode()
    def __init__(self, models: Sequence[PreTrainedModel], contexts: Sequence[Sequence[int]], steps: int) -> None:
        """`steps` is the most steps after the contexts. Raises `Failure` for a recurrent model or sliding windows,
        whose caches can't be set back."""
        self._models = list(models)
        self._graph: Any = None
        self._last: list[int] = []
        self._start: list[int] = []
        self._caches: list[Any] = []  # of layers that transformers types too widely
        self._ids: list[Tensor] = []
        self._positions: list[Tensor] = []
        self.logits: list[Tensor] = []
        """Of each model, (1, V): those of the latest step."""
        for model, context in zip(self._models, contexts, strict=True):
            device, before = input_device(model), len(context) - 1
            cache: Any = StaticCache(config=model.config, max_cache_len=before + steps + _WARM_UP + 1)
            if is_recurrent(model) or any(layer.is_sliding for layer in cache.layers):
                raise Failure("No static cache", f"{type(model).__name__} has a cache that can't be set back.", "")
            fed = torch.tensor([list(context[:-1])], device=device)
            model(
                input_ids=fed,
                position_ids=torch.arange(before, device=device)[None],
                use_cache=True,
                **{cache_name(model): cache},
            )
            self._caches.append(cache)
            self._last.append(context[-1])
            self._start.append(before)
            self._ids.append(torch.empty(1, 1, dtype=torch.long, device=device))
            self._positions.append(torch.empty(1, 1, dtype=torch.long, device=device))
            self.logits.append(torch.empty(1, _vocabulary(model), dtype=model.dtype, device=_head_device(model)))
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Goes back to the contexts."""
        for place, cache in enumerate(self._caches):
            for layer in cache.layers:
                layer.cumulative_length.fill_(self._start[place])
            self._ids[place].fill_(self._last[place])
            self._positions[place].fill_(self._start[place])

    @torch.inference_mode()
    def capture(self) -> None:
        """Makes a graph of a step of all models; from here on `step` repeats it. Needs CUDA."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._operations()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._operations()
        self._graph = graph
        self.reset()

    @torch.inference_mode()
    def step(self) -> list[int]:
        """The token that each model chooses; waits for them."""
        if self._graph is None:
            self._operations()
        else:
            self._graph.replay()
        return [int(ids) for ids in self._ids]

    def _operations(self) -> None:
        for place, model in enumerate(self._models):
            found = model(
                input_ids=self._ids[place],
                position_ids=self._positions[place],
                use_cache=True,
                **{cache_name(model): self._caches[place]},
            ).logits[:, -1]
            self.logits[place].copy_(found)
            self._ids[place].copy_(found.argmax(-1, keepdim=True))
            self._positions[place].add_(1)


def _vocabulary(model: PreTrainedModel) -> int:
    head = model.get_output_embeddings()
    assert head is not None
    return int(next(head.parameters()).shape[0])


def _head_device(model: PreTrainedModel) -> torch.device:
    head = model.get_output_embeddings()
    assert head is not None
    device: torch.device = next(head.parameters()).device
    return device
