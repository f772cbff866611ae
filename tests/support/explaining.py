"""Pairs of tiny models to explain, and a slow reference: plain passes of copied models with exchanged modules."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.sublayers import Sublayers, take_apart
from probes.schema.part import Part
from tests.support.stepping import damaged
from tests.support.tiny import tiny

CONTEXT = [5, 17, 99, 3, 42, 8, 61, 20, 33, 7, 90, 12]
"""Longer than the sliding window of the tiny models."""

EXPLAINED = ("llama", "qwen3", "gemma2", "gemma3", "gpt2", "gpt_neox", "falcon", "mixtral")

_NORMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "llama": (("input_layernorm", "self_attn"), ("post_attention_layernorm", "mlp")),
    "qwen3": (("input_layernorm", "self_attn"), ("post_attention_layernorm", "mlp")),
    "mixtral": (("input_layernorm", "self_attn"), ("post_attention_layernorm", "mlp")),
    "gemma2": (
        ("input_layernorm", "self_attn", "post_attention_layernorm"),
        ("pre_feedforward_layernorm", "mlp", "post_feedforward_layernorm"),
    ),
    "gpt2": (("ln_1", "attn"), ("ln_2", "mlp")),
    "gpt_neox": (("input_layernorm", "attention"), ("post_attention_layernorm", "mlp")),
    "falcon": (("input_layernorm", "self_attention"), ("mlp",)),
}
_NORMS["gemma3"] = _NORMS["gemma2"]
_NORMS["granite"] = _NORMS["llama"]
_NORMS["cohere"] = (("input_layernorm", "self_attn"), ("mlp",))
_NORMS["phi"] = _NORMS["cohere"]
_BLOCKS = {"gpt2": "transformer.h", "falcon": "transformer.h", "gpt_neox": "gpt_neox.layers"}


@functools.cache
def two(architecture: str, *, blocks_only: bool = False) -> tuple[PreTrainedModel, PreTrainedModel, Sublayers]:
    """A tiny model, a damaged copy with norms of its own, and both taken apart. Nobody may change them.

    With `blocks_only`, embedding, final norm and head are the same.
    """
    dense = tiny(architecture)
    pruned = damaged(dense)
    if blocks_only:
        whole = pruned.get_submodule(_BLOCKS.get(architecture, "model.layers"))
        pruned = copy.deepcopy(dense)
        path = _BLOCKS.get(architecture, "model.layers")
        setattr(pruned.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], whole)
    with torch.no_grad():
        for name, parameter in pruned.named_parameters():
            if parameter.dim() == 1 and any(f".{layer}." in name for layer in range(3)):
                parameter.mul_(1.1)
    return dense, pruned, take_apart(dense, pruned)


def exchanged(architecture: str, model: PreTrainedModel, other: PreTrainedModel, *parts: Part) -> PreTrainedModel:
    """A copy of a model in which these sublayers, with their norms, are the other model's."""
    made = copy.deepcopy(model)
    stack = _BLOCKS.get(architecture, "model.layers")
    for part in parts:
        for name in _NORMS[architecture][part.kind == "mlp"]:
            path = f"{stack}.{part.layer}"
            setattr(made.get_submodule(path), name, copy.deepcopy(other.get_submodule(f"{path}.{name}")))
    return made


def plain(model: PreTrainedModel, ids: list[int] = CONTEXT) -> Tensor:
    """The logits of one pass over the whole context, (tokens, V)."""
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits


def kl(dense: Tensor, other: Tensor) -> float:
    """KL of two vectors of logits, in float64."""
    p, q = (torch.log_softmax(one.double(), -1) for one in (dense, other))
    return float((p.exp() * (p - q)).sum())


class Silent(nn.Module):
    """Adds nothing to the stream, in as many values as the module it replaces returns."""

    def __init__(self, values: int | None) -> None:
        super().__init__()
        self.values = values

    def forward(self, hidden_states: Tensor, *_: object, **__: object) -> object:
        zeros = torch.zeros_like(hidden_states)
        return zeros if self.values is None else (zeros, *[None] * (self.values - 1))


def cut(architecture: str, model: PreTrainedModel, layer: int, silent: str = "") -> PreTrainedModel:
    """A copy that ends after a layer, one sublayer of which may be silent: its logits are the lens there."""
    made = copy.deepcopy(model)
    stack = made.get_submodule(_BLOCKS.get(architecture, "model.layers"))
    del stack[layer + 1 :]
    made.config.num_hidden_layers = layer + 1
    if silent:
        attention, mlp = (next(n for n in names if "norm" not in n and "ln" not in n) for names in _NORMS[architecture])
        setattr(stack[layer], attention if silent == "attn" else mlp, Silent(2 if silent == "attn" else None))
    return made
