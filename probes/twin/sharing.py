"""Copies a model's module graph without copying its tensors."""

from __future__ import annotations

import copy

from transformers import PreTrainedModel

from probes.models.rotary import changing_buffers
from probes.schema.errors import BadInput

_HELD_BY_HOOKS = ("weights_map", "tied_params_map")
"""Attributes of accelerate's hooks that hold tensors, if weights move to the device and back."""


def sharing_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A second module graph whose parameters and buffers are the first one's own tensors, tying included.

    Buffers that a forward pass writes to are copied, because both models may run at the same time.

    Raises `BadInput` for a model that is sharded over processes: the hooks that split its matrices would go on to
    compute with those of the first one.
    """
    if any(hasattr(parameter, "device_mesh") for parameter in model.parameters()):
        raise BadInput(
            "Sharded model",
            "A model that is sharded over processes can't share its matrices with a second one.",
            "Start it without torchrun; --device-map spreads a model in one process.",
        )
    own = {id(buffer) for buffer in changing_buffers(model)}
    kept: list[object] = [*model.parameters(), *(buffer for buffer in model.buffers() if id(buffer) not in own)]
    for module in model.modules():
        hook = getattr(module, "_hf_hook", None)
        for inner in getattr(hook, "hooks", (hook,)):
            kept += [store for store in (getattr(inner, name, None) for name in _HELD_BY_HOOKS) if store is not None]
    twin = copy.deepcopy(model, {id(thing): thing for thing in kept})
    assert isinstance(twin, PreTrainedModel)
    return twin
