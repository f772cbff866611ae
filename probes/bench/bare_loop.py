"""Two models that decode greedily, one after the other, without any figure: what a step is compared with."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from transformers import Cache, PreTrainedModel

from probes.models.devices import input_device
from probes.models.kv_cache import cache_name, new_cache, same_cache


class BareLoop:
    """Models that have each read a context, but for its last token; every round goes on from there."""

    @torch.inference_mode()
    def __init__(self, models: Sequence[PreTrainedModel], contexts: Sequence[Sequence[int]]) -> None:
        """`contexts` has one of at least one token for each model."""
        self._models = list(models)
        self._contexts = [list(context) for context in contexts]
        self._caches = [new_cache(model) for model in self._models]
        for model, context, cache in zip(self._models, self._contexts, self._caches, strict=True):
            if len(context) > 1:
                _chosen(model, context[:-1], cache)

    @torch.inference_mode()
    def timed(self, steps: int, *, shared: bool) -> float:
        """Seconds of so many steps. With `shared`, all models read the tokens that the first one chooses."""
        caches = [same_cache(cache) for cache in self._caches]
        latest = [context[-1] for context in self._contexts]
        begun = time.perf_counter()
        for _ in range(steps):
            chosen = [
                _chosen(model, [token], cache) for model, token, cache in zip(self._models, latest, caches, strict=True)
            ]
            latest = chosen[:1] * len(chosen) if shared else chosen
        return time.perf_counter() - begun


def _chosen(model: PreTrainedModel, ids: Sequence[int], cache: Cache) -> int:
    """The likeliest token after these; waits for it, as any loop that reads it next does."""
    fed = torch.tensor([list(ids)], device=input_device(model))
    logits = model(input_ids=fed, use_cache=True, **{cache_name(model): cache}).logits
    return int(logits[0, -1].argmax())
