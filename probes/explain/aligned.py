"""Aligns a shallower model with the dense one: the layers that it lacks let the stream pass, as dropped blocks do.

Which dense layer each of its layers was is found in the weights (`layer_alignment`).
"""

from __future__ import annotations

import copy

from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.checkpoints.layer_alignment import align_layers
from probes.explain.graphs import Instead, graph_with, output_of
from probes.models.hooks import Call, leaving
from probes.twin.anatomy import Anatomy, dissect, probe_ids
from probes.twin.sharing import sharing_copy


def aligned(dense: PreTrainedModel, anatomy: Anatomy, pruned: PreTrainedModel) -> tuple[PreTrainedModel, str]:
    """The pruned model with a block for every dense one, sharing its modules, and a sentence that says so.

    Returns the model itself, and "", if it has as many layers as the dense one, or if its layers can't be aligned.
    """
    stack = anatomy.blocks[0].name.rpartition(".")[0]
    count = len(list(dense.get_submodule(stack).children()))
    if type(dense) is not type(pruned) or len(anatomy.blocks) != count:
        return pruned, ""
    if not 0 < len(list(pruned.get_submodule(stack).children())) < count:
        return pruned, ""
    ours = dissect(sharing_copy(pruned))
    if ours.blocks[0].name.rpartition(".")[0] != stack:
        return pruned, ""
    found = align_layers(pruned, ours, dense, anatomy)
    types = getattr(dense.config.get_text_config(decoder=True), "layer_types", None)
    known = getattr(pruned.config.get_text_config(decoder=True), "layer_types", None)
    if found is None or not set(types or ()) <= set(known or ()):  # masks and rotary factors of a type that it lacks
        return pruned, ""
    own = {there: pruned.get_submodule(f"{stack}.{layer}") for layer, there in found.items()}
    values = _values_returned(dense, anatomy.blocks[0].name)
    blocks = nn.ModuleList()
    for block in anatomy.blocks:
        blocks.append(own.get(block.layer) or _passing(dense.get_submodule(block.name), values))
    graph = graph_with(pruned, {stack: blocks})
    _deepen(graph, stack, count, types)
    missing = ", ".join(str(block.layer) for block in anatomy.blocks if block.layer not in own)
    return graph, f"Layers that the second model lacks count as dropped: {missing}."


def _passing(block: nn.Module, values: int | None) -> nn.Module:
    """Returns its input. It does not count tokens as read: the model's own layers are numbered without it."""
    return Instead(block, lambda call: output_of(call.hidden, values))


def _values_returned(model: PreTrainedModel, path: str) -> int | None:
    """How many values a block returns, None for a bare tensor."""
    seen: list[object] = []

    def see(_path: str, _call: Call, output: object) -> None:
        seen.append(output)

    scratch = sharing_copy(model)
    with leaving(scratch, [path], see):
        scratch(input_ids=probe_ids(scratch), use_cache=False)
    output = seen[0]
    return None if isinstance(output, Tensor) or not isinstance(output, tuple) else len(output)


def renumbered(block: nn.Module, layer: int) -> nn.Module:
    """A copy of a block that reads and writes another layer of a cache, sharing its tensors."""
    paths = [
        path for path, module in block.named_modules() if path and isinstance(module.__dict__.get("layer_idx"), int)
    ]
    copies = {path: graph_with(block.get_submodule(path), {}) for path in paths}
    for one in copies.values():
        one.__dict__["layer_idx"] = layer
    return graph_with(block, copies)


def _deepen(graph: PreTrainedModel, stack: str, count: int, types: list[str] | None) -> None:
    """Gives the graph, down to the list of blocks, a configuration with so many layers, of these types."""
    path = stack.split(".")[:-1]
    modules: list[nn.Module] = [graph, *(graph.get_submodule(".".join(path[: i + 1])) for i in range(len(path)))]
    configuration = copy.deepcopy(graph.config)
    text = configuration.get_text_config(decoder=True)
    for config in {id(one): one for one in (configuration, text)}.values():
        if getattr(config, "layer_types", None) is not None:
            config.layer_types = types
        if hasattr(config, "num_hidden_layers"):
            config.num_hidden_layers = count
    for module in modules:
        if hasattr(module, "config"):
            module.__dict__["config"] = configuration if module is graph else text
