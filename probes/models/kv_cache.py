"""The cache in which a model keeps what it has read: what its forward pass calls it, and which kind its layers need."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from probes.schema.errors import BadInput

NAMES = ("cache", "past_key_values", "cache_params")
"""What transformers has called it, the newest name first; `cache_params` where a state-space model keeps its state."""


def cache_name(model: PreTrainedModel) -> str:
    """The argument of `model.forward` that takes the cache. Raises `BadInput` where there is none."""
    accepted = inspect.signature(model.forward).parameters
    for name in NAMES:
        if name in accepted:
            return name
    raise BadInput(
        "No cache",
        f"{type(model).__name__} takes no cache of what it has read, so it can't be stepped.",
        "Use a model of the transformer kind.",
    )


def is_recurrent(model: PreTrainedModel) -> bool:
    """True for state-space and hybrid models, whose cache is made for their layers and can't be cropped."""
    types = set(getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ())
    return not types <= {"full_attention", "sliding_attention"} or any(is_mixer(module) for module in model.modules())


def is_mixer(module: nn.Module) -> bool:
    """True for a state-space mixer, by the convolution over tokens or the state matrix that it owns."""
    return hasattr(module, "A_log") or any(isinstance(child, nn.Conv1d) for child in module.children())


def new_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache. Without the configuration it keeps all positions, sliding window or not, so that cropping is
    exact; the mask still applies the window."""
    return DynamicCache(config=model.config) if is_recurrent(model) else DynamicCache()


def count_as_read(cache: Cache, layer: int, read: Tensor) -> None:
    """Tells a cache that this layer has read these tokens, (rows, tokens, …), and keeps one number of each.

    Positions and masks are taken from the length of one of the cache's layers, so a layer that no longer runs must
    count tokens as the others do, in a cache of any kind. Layers that count none, such as those of state-space
    mixers, are left as they are.
    """
    cache = getattr(cache, "self_attention_cache", cache)
    if layer < len(cache.layers) and not isinstance(cache.layers[layer], CacheLayerMixin):
        return
    shape = (read.shape[0], 1, read.shape[1], 1)
    cache.update(torch.zeros(shape, device=read.device), torch.zeros(shape, device=read.device), layer)
