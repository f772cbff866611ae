"""A second model with fewer layers is explained as the dense one with those blocks dropped."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.culprits import measure_swaps
from probes.explain.pieces import heads_in, matrices_in
from probes.explain.step import explain
from probes.explain.sublayers import take_apart
from probes.explain.swaps import Exchanges
from probes.schema.errors import BadInput
from probes.schema.part import Part
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT, plain
from tests.support.stepping import lockstep
from tests.support.tiny import tiny


def shallower(dense: PreTrainedModel, architecture: str, gone: int) -> PreTrainedModel:
    """A model of two layers with the weights of a dense one of three, as another tool saves it."""
    types = getattr(dense.config, "layer_types", None)
    changes: dict[str, Any] = {"layer_types": [t for i, t in enumerate(types) if i != gone]} if types else {}
    made = tiny(architecture, num_hidden_layers=2, **changes)
    stack = "transformer.h" if architecture == "gpt2" else "model.layers"
    kept = [layer for layer in range(3) if layer != gone]
    outside = {k: v for k, v in dense.state_dict().items() if not k.startswith(stack)}
    inside = {
        k.replace(f"{stack}.{old}.", f"{stack}.{new}."): v
        for new, old in enumerate(kept)
        for k, v in dense.state_dict().items()
        if k.startswith(f"{stack}.{old}.")
    }
    made.load_state_dict(outside | inside)
    return made


@pytest.mark.parametrize(
    ("architecture", "gone"), [("llama", 0), ("llama", 1), ("llama", 2), ("gemma3", 0), ("gemma3", 1), ("gpt2", 1)]
)
def test_it_is_explained_as_a_twin_with_dropped_blocks(architecture: str, gone: int) -> None:
    dense = tiny(architecture)
    second = shallower(dense, architecture, gone)
    before = plain(second)
    twin = Twin(dense)
    twin.drop(Part("block", gone))
    sublayers = take_apart(dense, second)
    assert f"lacks count as dropped: {gone}." in sublayers.notes[0]
    exchanges = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, len(CONTEXT))
    assert torch.equal(exchanges.logits, before)
    assert torch.equal(exchanges.exchanged(*sublayers.parts), plain(dense))
    found, expected = (measure_swaps(one, CONTEXT, 3) for one in (sublayers, take_apart(dense, twin.model)))
    assert found.heal == expected.heal
    assert found.damage == expected.damage
    with lockstep(dense, second, steps=3) as both, lockstep(dense, twin.model, steps=3) as dropped:
        runs = [list(both), list(dropped)]
        assert [record.own for record in runs[0]] == [record.own for record in runs[1]]
        layers, others = (explain(one, range(2, 3), ("layers",)).layers for one in (both, dropped))
        assert layers == others
        assert layers is not None
    assert second.config.num_hidden_layers == 2
    assert torch.equal(plain(second), before)


def test_a_model_without_any_layer_of_a_type_is_refused() -> None:
    dense = tiny("gemma3")  # its last layer is the only one with full attention
    with pytest.raises(BadInput, match="layer 2 has no counterpart in the pruned model"):
        take_apart(dense, shallower(dense, "gemma3", 2))


class _Quantised(nn.Module):
    """A matrix of 8-bit numbers with one scale."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.scale = float(weight.abs().max()) / 127
        self.register_buffer("numbers", (weight / self.scale).round().to(torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        numbers = self.get_buffer("numbers")
        return nn.functional.linear(x, numbers.float() * self.scale)


def test_a_quantised_second_model_is_exchanged_module_by_module() -> None:
    dense = tiny("llama")
    second = copy.deepcopy(dense)
    for path, module in dense.named_modules():
        if path.endswith("_proj"):
            parent, _, name = path.rpartition(".")
            setattr(second.get_submodule(parent), name, _Quantised(module.get_parameter("weight")))
    sublayers = take_apart(dense, second)
    found = measure_swaps(sublayers, CONTEXT)
    assert found.kl > 0
    assert (found.kl_all_healed, found.control) == (0, 0)
    pieces, _ = matrices_in(sublayers, sublayers.parts)
    assert len(pieces) == 21
    made = copy.deepcopy(second)
    made.get_submodule("model.layers.1.mlp").up_proj = dense.get_submodule("model.layers.1.mlp.up_proj")
    (piece,) = [one for one in pieces if (one.layer, one.name) == (1, "up_proj")]
    healing = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, len(CONTEXT))
    assert torch.equal(healing.exchanged(piece), plain(made))
    none, notes = heads_in(sublayers, sublayers.parts)
    assert not none
    assert "does not divide into heads that can be exchanged" in notes[0]
