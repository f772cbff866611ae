"""Loads a pair of models that are sharded over several processes: pruned whole by the first process, then sharded."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import nn

from probes.models.loaded import Loaded, load
from probes.models.shardable import connect, from_all, from_first
from probes.schema.part import Part
from probes.schema.spec import PairSpec
from probes.system.memory import release
from probes.system.progress import Work
from probes.system.threads import use_threads
from probes.twin.twin_state import MatrixChange, TwinState

F = TypeVar("F")


def load_shards(
    spec: PairSpec, whole: Callable[[], tuple[F, Loaded, Loaded, TwinState]], work: Work
) -> tuple[F, Loaded, Loaded]:
    """This process's parts of both models, and what the first process found out about the pair.

    `whole` is called in the first process only: it loads the whole models, and returns something that can be sent, both
    models, and the twin's state. The models are released before the shards are loaded. Every process must call this.
    Raises what `whole` and `load` raise.
    """
    from probes.twin.shards import prune_shards  # it imports sharded tensors, which takes a second

    connect()
    changes: dict[str, MatrixChange] = {}

    def first() -> tuple[F, Loaded, Loaded, tuple[str, ...], frozenset[Part]]:
        found, dense, pruned, state = whole()
        changes.update({name: _on_host(change) for name, change in state.changes.items()})
        return found, without_model(dense), without_model(pruned), tuple(changes), state.dropped

    found, of_dense, of_pruned, names, dropped = from_first(first)
    _free()
    dense = load(spec.dense, spec.load, work, sharded=True)
    use_threads(dense.model, spec.load.threads)
    pruned = load(spec.pruned or spec.dense, spec.load, work, tokenizer=dense.tokenizer, sharded=True)
    if not spec.pruned:
        prune_shards(pruned.model, dense.model, names, lambda name: from_first(lambda: changes.pop(name)), dropped)
        _free()
    device = ",".join(from_all(str(next(dense.model.parameters()).device)))
    return found, _with_shard(of_dense, dense, device), _with_shard(of_pruned, pruned, device)


def without_model(loaded: Loaded) -> Loaded:
    """What is known of a model, for another process."""
    return replace(loaded, model=cast("Any", None), tokenizer=cast("Any", None))


def _with_shard(known: Loaded, shard: Loaded, device: str) -> Loaded:
    return replace(known, model=shard.model, tokenizer=shard.tokenizer, info=replace(known.info, device=device))


def _on_host(change: MatrixChange) -> MatrixChange:
    weight = change.weight
    return (
        change if weight is None else replace(change, weight=nn.Parameter(weight.detach().cpu(), requires_grad=False))
    )


def _free() -> None:
    """Releases models that are no longer used; their modules refer to one another."""
    gc.collect()
    release()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
