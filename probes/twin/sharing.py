"""Copies a model's graph of modules without copying its tensors."""

from __future__ import annotations

import copy

from transformers import PreTrainedModel

from probes.models.rotary import changing_buffers

_HELD_BY_HOOKS = ("weights_map", "tied_params_map")
"""Tensors that accelerate's hooks hold, if weights move in and out of the device."""


def sharing_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A second module graph whose parameters and buffers are the first one's own tensors, tying included.

    Buffers that a forward pass writes to are copied: both models may be reading at once.
    """
    own = {id(buffer) for buffer in changing_buffers(model)}
    kept: list[object] = [*model.parameters(), *(buffer for buffer in model.buffers() if id(buffer) not in own)]
    for module in model.modules():
        hook = getattr(module, "_hf_hook", None)
        for inner in getattr(hook, "hooks", (hook,)):
            kept += [store for store in (getattr(inner, name, None) for name in _HELD_BY_HOOKS) if store is not None]
    twin = copy.deepcopy(model, {id(thing): thing for thing in kept})
    assert isinstance(twin, PreTrainedModel)
    return twin
