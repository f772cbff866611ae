"""Exchanges what two models have written into their KV caches: all of it, or single positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from probes.models.kv_cache import is_recurrent, same_cache
from probes.schema.errors import BadInput
from probes.stepping.cached_model import CachedModel
from probes.twin.dropping import silent_layers


@dataclass(frozen=True, slots=True, eq=False)
class TwoCaches:
    """The caches of two models that have read the same tokens. Neither is ever changed."""

    dense: DynamicCache
    pruned: DynamicCache
    silent: frozenset[int]
    """The layers in which one of them wrote nothing, because its attention is dropped. They are never exchanged: each
    model keeps its own there."""

    @property
    def positions(self) -> int:
        """Positions in either cache."""
        return self.dense.get_seq_length()

    @property
    def row_bytes(self) -> int:
        """Bytes of one copy of the pruned cache."""
        return sum(tensor.nbytes for layer in self.pruned.layers for tensor in _contents(layer))

    @property
    def dense_again(self) -> DynamicCache:
        """A copy of the dense cache, taken apart and put together as the exchanged ones are."""
        return self._given(self.dense, self.dense)

    @property
    def for_dense(self) -> DynamicCache:
        """The pruned model's cache, for the dense model to read."""
        return self._given(self.dense, self.pruned)

    @property
    def for_pruned(self) -> DynamicCache:
        """The dense model's cache, for the pruned model to read."""
        return self._given(self.pruned, self.dense)

    def restored(self, positions: Sequence[int]) -> DynamicCache:
        """The pruned cache in one row more than there are positions: as it is, then with one of them dense in each."""
        made = same_cache(self.pruned)
        rows = torch.arange(1, len(positions) + 1)
        for i, (layer, dense) in enumerate(zip(made.layers, self.dense.layers, strict=True)):
            tensors = [one.expand(len(positions) + 1, -1, -1, -1).clone() for one in _contents(layer)]
            if i not in self.silent:
                for tensor, restoring in zip(tensors, _contents(dense), strict=True):
                    chosen = restoring[0, :, list(positions)].transpose(0, 1)
                    tensor[rows, :, list(positions)] = chosen.to(tensor)
            _fill(layer, *tensors)
        return made

    def leaves(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The pruned model's keys and values, which can be differentiated, and the dense ones: of all layers that can
        be exchanged. `differentiable` makes a cache of them."""
        for i, (layer, dense) in enumerate(zip(self.pruned.layers, self.dense.layers, strict=True)):
            if i not in self.silent:
                for tensor, other in zip(_contents(layer), _contents(dense), strict=True):
                    yield tensor.clone().requires_grad_(), other.to(tensor)

    def differentiable(self, leaves: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
        """The pruned cache, made of these leaves."""
        made, left = same_cache(self.pruned), iter(leaves)
        for i, layer in enumerate(made.layers):
            tensors = [tensor.clone() if i in self.silent else next(left)[0] for tensor in _contents(layer)]
            _fill(layer, *tensors)
        return made

    def _given(self, reader: DynamicCache, writer: DynamicCache) -> DynamicCache:
        made = same_cache(reader)
        for i, (layer, other) in enumerate(zip(made.layers, writer.layers, strict=True)):
            if i not in self.silent:
                _fill(layer, *(theirs.to(own) for own, theirs in zip(_contents(layer), _contents(other), strict=True)))
        return made


def two_caches(dense: CachedModel, pruned: CachedModel, context: Sequence[int]) -> TwoCaches:
    """The caches of both models after all tokens of a context but the last. Raises `BadInput` if one model can't read
    what the other has written."""
    for reader in (dense, pruned):
        if is_recurrent(reader.model):
            name = type(reader.model).__name__
            raise _unlike(f"{name} carries a state from token to token, which holds no positions to restore")
    caches = [reader.memory(context) for reader in (dense, pruned)]
    for reader in (dense, pruned):
        reader.join()
    silent = silent_layers(dense.model) | silent_layers(pruned.model)
    layers, others = (cache.layers for cache in caches)
    if len(layers) != len(others):
        raise _unlike(f"the dense model has {len(layers)} layers and the pruned one {len(others)}")
    for i, pair in enumerate(zip(layers, others, strict=True)):
        for layer in pair:
            if type(layer) is not DynamicLayer:
                raise _unlike(f"layer {i} is kept in a {type(layer).__name__}, which has no position to restore")
        shapes, others_shapes = ([tuple(tensor.shape[1:]) for tensor in _contents(layer)] for layer in pair)
        if i not in silent and shapes != others_shapes:
            raise _unlike(f"layer {i} holds {_heads(shapes)} in the dense and {_heads(others_shapes)} in the other")
    return TwoCaches(caches[0], caches[1], silent)


def _contents(layer: object) -> tuple[Tensor, Tensor]:
    assert isinstance(layer, DynamicLayer)
    assert isinstance(layer.keys, Tensor)
    assert isinstance(layer.values, Tensor)
    return layer.keys, layer.values


def _fill(layer: object, keys: Tensor, values: Tensor) -> None:
    assert isinstance(layer, DynamicLayer)
    layer.keys, layer.values = keys, values


def _heads(shapes: Sequence[tuple[int, ...]]) -> str:
    heads, _, wide = shapes[0]
    return f"{heads} heads of {wide} numbers"


def _unlike(why: str) -> BadInput:
    return BadInput(
        "No quadrants",
        f"The two models' caches can't be exchanged: {why}.",
        "The other figures of the step don't need that.",
    )
