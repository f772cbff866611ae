"""A model's KV cache: its argument name in the forward pass, and the kind that its layers need."""

from __future__ import annotations

import copy
import inspect

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

from probes.schema.errors import BadInput

NAMES = ("cache", "past_key_values", "cache_params")
"""Names of the cache argument in transformers, newest first; state-space models use `cache_params`."""


def cache_name(model: PreTrainedModel) -> str:
    """The argument of `model.forward` that takes the cache. Raises `BadInput` if there is none."""
    accepted = inspect.signature(model.forward).parameters
    for name in NAMES:
        if name in accepted:
            return name
    raise BadInput(
        "No cache",
        f"{type(model).__name__} takes no KV cache, so it can't be stepped.",
        "Use a transformer model.",
    )


def is_recurrent(model: PreTrainedModel) -> bool:
    """True for state-space and hybrid models. Their cache depends on the types of their layers, and can't be
    cropped."""
    types = set(getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ())
    return not types <= {"full_attention", "sliding_attention"} or any(is_mixer(module) for module in model.modules())


def is_mixer(module: nn.Module) -> bool:
    """True for a state-space mixer: a module with a convolution over tokens or a state matrix."""
    return hasattr(module, "A_log") or any(isinstance(child, nn.Conv1d) for child in module.children())


def new_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache. For transformers it is made without the configuration, so it keeps all positions despite a
    sliding window, and cropping is exact. The mask still applies the window."""
    return DynamicCache(config=model.config) if is_recurrent(model) else DynamicCache()


def same_cache(cache: DynamicCache) -> DynamicCache:
    """Another cache with the same content, to go on from: nothing that is read with one of them changes the other.

    Layers that keep all positions share their tensors, because they never write into one.
    """
    other = copy.copy(cache)
    other.layers = [copy.copy(one) if type(one) is DynamicLayer else copy.deepcopy(one) for one in cache.layers]
    return other


def cache_bytes(cache: DynamicCache) -> int:
    """Bytes of the tensors that a cache keeps."""
    kept = (one for layer in cache.layers for one in vars(layer).values())
    return sum(one.nbytes for one in kept if isinstance(one, Tensor))


def count_as_read(cache: Cache, layer: int, read: Tensor) -> None:
    """Counts these tokens, (rows, tokens, …), as read by this layer, and stores one number for each.

    Positions and masks are taken from the length of one of the cache's layers, so a layer that no longer runs must
    still count tokens. Layers of the cache that count no tokens, such as those of state-space mixers, are not changed.
    """
    cache = getattr(cache, "self_attention_cache", cache)
    if layer < len(cache.layers) and not isinstance(cache.layers[layer], CacheLayerMixin):
        return
    shape = (read.shape[0], 1, read.shape[1], 1)
    cache.update(torch.zeros(shape, device=read.device), torch.zeros(shape, device=read.device), layer)
