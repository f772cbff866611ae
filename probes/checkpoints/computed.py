"""Finds out whether two models of equal weights compute differently, by their configurations or otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.models.devices import input_device
from probes.models.fingerprint import settings
from probes.schema.foreign_text import visible

_BY_SHAPE = frozenset(
    (
        *("vocab_size", "hidden_size", "n_embd", "num_hidden_layers", "n_layer", "n_layers"),
        *("intermediate_size", "moe_intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"),
    )
)
"""Settings that the shapes of the tensors show."""
_HEADS = frozenset(("num_attention_heads", "num_key_value_heads", "head_dim", "n_head", "num_heads", "num_kv_heads"))
"""Settings that the shapes show only if they differ: tensors of one shape can be cut into heads in several ways."""
_LONGEST = "max_position_embeddings"
"""The longest context. It changes the computation only if rotary factors depend on it."""
_FIXED_ROTARY: frozenset[object] = frozenset((None, "default", "linear", "llama3"))
"""Kinds of rotary factors that do not depend on it."""
_NAMED = 5
"""How many settings a sentence names."""
_WIDTH = 40
_TOKENS = 64
"""How many tokens both models read."""


def differing_settings(
    model: PreTrainedModel, dense: PreTrainedModel, layers: Mapping[int, int] | None, *, reshaped: bool
) -> tuple[str, ...]:
    """The differences of two configurations that change the computation: "rms_norm_eps is 0.1 instead of 1e-06".

    `layers` maps the layers of the second model to those of the dense one, for settings that are lists by layer; None
    if the mapping is unknown. `reshaped` says that tensors differ in shape.
    """
    ours, theirs = _flat(settings(model)), _flat(settings(dense))
    passed = _BY_SHAPE | _HEADS if reshaped else _BY_SHAPE
    few, many = (one.config.get_text_config(decoder=True).num_hidden_layers for one in (model, dense))
    if _only_bounds(model) and _only_bounds(dense):
        passed |= {_LONGEST}
    found = []
    if type(model).__name__ != type(dense).__name__:
        found.append(f"the architecture is {type(model).__name__} instead of {type(dense).__name__}")
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        if few != many and isinstance(other, list) and len(other) == many and _is_list(one, few):
            if layers is None or len(layers) != few:
                continue  # one entry for each layer, and the mapping of the layers is unknown
            other = [other[layers[layer]] for layer in sorted(layers)]
        if name not in passed and _said(one) != _said(other):
            found.append(f"{visible(name, _WIDTH)} is {_quoted(one)} instead of {_quoted(other)}")
    if model.dtype != dense.dtype:
        found.append(f"it runs in {_bare(model.dtype)} instead of {_bare(dense.dtype)}")
    return tuple(found)


def list_settings(differences: Sequence[str]) -> str:
    """The first differences, and the number of the others."""
    more = len(differences) - _NAMED
    return "; ".join(differences[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


@torch.inference_mode()
def largest_difference(model: PreTrainedModel, dense: PreTrainedModel) -> float:
    """The largest difference of any logit on a few tokens that both models read: 0 for two identical models."""
    configs = [one.config.get_text_config(decoder=True) for one in (model, dense)]
    length = min(_TOKENS, *(int(getattr(config, "max_position_embeddings", 0) or _TOKENS) for config in configs))
    ids = torch.randint(
        min(config.vocab_size for config in configs), (1, length), generator=torch.Generator().manual_seed(0)
    )
    ours, theirs = (_logits(one, ids) for one in (model, dense))
    return 0.0 if torch.equal(ours, theirs) else float((ours.double() - theirs.double()).abs().max())


def _logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    logits = model(input_ids=ids.to(input_device(model)), use_cache=False).logits
    assert isinstance(logits, Tensor)
    return logits.cpu()


def _only_bounds(model: PreTrainedModel) -> bool:
    """Does the longest context only limit the context? Code that comes with a model may use it for anything."""
    kinds = {value for name, value in _flat(settings(model)).items() if name.endswith("rope_type")}
    return type(model).__module__.startswith("transformers.") and kinds <= _FIXED_ROTARY


def _is_list(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def _flat(settings: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Settings within settings under dotted names."""
    found: dict[str, object] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return found


def _said(value: object) -> object:
    """A setting for comparison: absent, null, false and empty are equal, and so are numbers that are equal in float32,
    which GGUF stores."""
    if isinstance(value, list) and value:
        return [_said(entry) for entry in value]
    if isinstance(value, float):
        rounded = torch.tensor(value, dtype=torch.float32).item()
        return rounded if math.isfinite(rounded) else value
    return None if value is None or value is False or value in ([], "") else value


def _quoted(value: object) -> str:
    return "absent" if value is None else visible(str(value), _WIDTH)


def _bare(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
