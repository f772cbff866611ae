"""Counts the bytes of all tensors that an estimate has in memory at its peak, beside those of a plain pass.

Each storage that an operation makes counts from then until nothing refers to it; the models' own do not count. No
allocator is asked, so the count is the same in every run.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from probes.explain.estimate import estimate_heals
from probes.explain.graphs import Instead, graph_with
from probes.explain.sublayers import Sublayers
from probes.explain.swaps import answer, mean_kl
from probes.models.devices import input_device
from probes.models.hooks import Call


@dataclass(frozen=True, slots=True)
class EstimateMemory:
    """The memory of an estimate of all heals, in bytes beyond the models."""

    peak: int
    limit: int
    """That of one pass of the pruned model over the context, which keeps its activations, and one gradient of the
    residual stream a layer."""


def estimate_memory(sublayers: Sublayers, context: Sequence[int]) -> EstimateMemory:
    """Counts both, for the estimate at the last position of a context."""
    pruned = sublayers.pruned
    calls: list[Call] = []

    def noted(layer: int) -> Callable[[Call], object]:
        def run(call: Call) -> object:
            hidden = call.hidden if calls else call.hidden.detach().requires_grad_()
            calls.append(call)  # positions and masks, which an estimate keeps too
            return call.with_hidden(pruned.blocks[layer], hidden)

        return run

    blocks = sublayers.anatomy.blocks
    graph = graph_with(
        pruned.model, {block.name: Instead(pruned.blocks[block.layer], noted(block.layer)) for block in blocks}
    )
    with torch.inference_mode(False):
        with torch.no_grad():
            ids = torch.tensor([list(context)], device=input_device(sublayers.dense.model))
            reference = answer(sublayers.dense.model, ids, 1)
        with CountedBytes() as plain, torch.enable_grad():
            ids = torch.tensor([list(context)], device=input_device(pruned.model))
            kl = mean_kl(reference.to(ids.device), answer(graph, ids, 1), 1.0)
        del kl
        with CountedBytes() as estimating:
            estimate_heals(sublayers, context, reference=reference)
    stream = calls[0].hidden
    return EstimateMemory(estimating.peak, plain.peak + stream.numel() * stream.element_size() * len(blocks))


class CountedBytes(TorchDispatchMode):
    """Counts the bytes of the storages that are made in its block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.peak = 0
        self._now = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        before = {id(tensor.untyped_storage()) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in before and id(storage) not in self._seen:
                    self._seen.add(id(storage))
                    self._now += storage.nbytes()
                    weakref.finalize(storage, self._free, id(storage), storage.nbytes())
        self.peak = max(self.peak, self._now)
        return made

    def _free(self, storage: int, size: int) -> None:
        self._seen.discard(storage)
        self._now -= size
