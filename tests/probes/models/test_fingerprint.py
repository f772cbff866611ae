"""A fingerprint changes with one bit of one weight, and with nothing else."""

from __future__ import annotations

import hashlib

import pytest
import torch

from probes.models.fingerprint import fingerprint
from tests.support.tiny import ARCHITECTURES, tiny


def slowly(model) -> str:
    """The definition once more, weight by weight, byte by byte."""
    lines, seen = [], {}
    for name, weight in sorted(model.state_dict().items()):
        if any(weight.data_ptr() == p and weight.shape == s for p, s in seen.values()):
            continue
        seen[name] = (weight.data_ptr(), weight.shape)
        digest = hashlib.sha256(bytes(weight.contiguous().view(torch.uint8).flatten().tolist())).hexdigest()
        lines.append(f"{name} {tuple(weight.shape)} {weight.dtype} {digest}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_it_is_what_its_definition_says(architecture):
    model = tiny(architecture)
    assert fingerprint(model) == slowly(model)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_weights_have_the_same_one(architecture):
    assert fingerprint(tiny(architecture)) == fingerprint(tiny(architecture))
    assert fingerprint(tiny(architecture)) != fingerprint(tiny(architecture, seed=1))


def test_one_bit_of_one_weight_changes_it_and_changing_it_back_restores_it():
    model = tiny("llama")
    before = fingerprint(model)
    weight = model.model.layers[1].mlp.down_proj.weight.view(torch.int32)
    weight[3, 5] ^= 1
    assert fingerprint(model) != before
    weight[3, 5] ^= 1
    assert fingerprint(model) == before


def test_weights_count_as_numbers_and_not_as_they_lie_in_memory():
    model = tiny("llama")
    before = fingerprint(model)
    linear = model.model.layers[0].mlp.up_proj
    linear.weight.data = linear.weight.data.t().contiguous().t()
    assert not linear.weight.is_contiguous()
    assert fingerprint(model) == before


def test_another_dtype_is_another_model():
    assert fingerprint(tiny("llama").bfloat16()) != fingerprint(tiny("llama"))


def test_a_model_whose_weights_are_elsewhere_has_none():
    model = tiny("llama")
    model.model.layers[0].to("meta")
    assert fingerprint(model) == ""
