"""Every architecture is taken apart by its structure, or refused with a sentence."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from probes.schema.errors import BadInput
from probes.twin.anatomy import dissect, weight
from tests.support.tiny import ARCHITECTURES, MORE, tiny

WITH_SUBLAYERS = tuple(name for name in (*ARCHITECTURES, *MORE) if name != "mamba")
MATRICES = {"gpt2": 4, "gpt_neox": 4, "bloom": 4, "falcon": 4, "phi3": 4, "opt": 6, "phi": 6, "mixtral": 4, "mamba": 4}
"""Linear layers in a block; 7 where nothing else is said: q, k, v, o, gate, up, down."""


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_every_block_and_every_linear_layer_in_it_is_found(architecture: str) -> None:
    model = tiny(architecture)
    anatomy = dissect(model)
    assert len(anatomy.blocks) == model.config.num_hidden_layers
    assert [block.layer for block in anatomy.blocks] == [0, 1, 2]
    assert all(len(block.matrices) == MATRICES.get(architecture, 7) for block in anatomy.blocks)


@pytest.mark.parametrize("architecture", WITH_SUBLAYERS)
def test_attention_and_mlp_are_told_apart(architecture: str) -> None:
    model = tiny(architecture)
    for block in dissect(model).blocks:
        assert block.attn is not None
        assert block.mlp is not None
        (attention,) = block.attn.modules
        assert model.get_submodule(attention).layer_idx == block.layer
        for matrix in block.matrices:
            (owner,) = [s for s in (block.attn, block.mlp) if s.part.kind == matrix.sublayer]
            assert any(matrix.name == path or matrix.name.startswith(f"{path}.") for path in owner.modules)


def test_loose_linears_are_an_mlp() -> None:
    mlp = dissect(tiny("opt")).blocks[0].mlp
    assert mlp is not None
    assert [name.rsplit(".", 1)[-1] for name in mlp.modules] == ["fc1", "fc2"]


def test_a_recurrent_mixer_is_neither_attention_nor_mlp() -> None:
    block = dissect(tiny("mamba")).blocks[0]
    assert block.attn is None
    assert block.mlp is None
    assert {matrix.sublayer for matrix in block.matrices} == {""}


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_a_matrix_reads_as_output_by_input_features(architecture: str) -> None:
    model = tiny(architecture)
    for matrix in dissect(model).matrices:
        module = model.get_submodule(matrix.name)
        read = weight(model, matrix)
        x = torch.randn(5, read.shape[1])
        bias = 0 if module.bias is None else module.bias
        assert matrix.transposed == isinstance(module, Conv1D)
        torch.testing.assert_close(x @ read.T + bias, module(x))


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_the_final_norm_feeds_the_head(architecture: str) -> None:
    model = tiny(architecture)
    anatomy = dissect(model)
    seen: dict[str, torch.Tensor] = {}
    model.get_submodule(anatomy.final_norm).register_forward_hook(lambda m, i, o: seen.update(norm=o))
    model.get_submodule(anatomy.head).register_forward_pre_hook(lambda m, i: seen.update(head=i[0]))
    model(torch.tensor([[1, 2, 3]]))
    assert torch.equal(seen["norm"], seen["head"])


def test_expert_tensors_are_reported_as_out_of_reach() -> None:
    unreachable = dissect(tiny("mixtral")).unreachable
    for layer in range(3):
        assert f"model.layers.{layer}.mlp.experts.gate_up_proj" in unreachable
        assert f"model.layers.{layer}.mlp.experts.down_proj" in unreachable


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_where_all_can_be_reached_nothing_is_reported(architecture: str) -> None:
    assert dissect(tiny(architecture)).unreachable == ()


def test_one_block_is_enough() -> None:
    assert len(dissect(tiny("llama", num_hidden_layers=1)).blocks) == 1


def test_a_model_without_a_head_is_refused_with_a_sentence() -> None:
    base = tiny("llama").model
    assert isinstance(base, PreTrainedModel)
    with pytest.raises(BadInput, match="No LM head was found in LlamaModel"):
        dissect(base)


def test_a_model_without_blocks_is_refused_with_a_sentence() -> None:
    model = tiny("llama")
    model.model.layers = torch.nn.ModuleList()
    with pytest.raises(BadInput, match="No list of blocks was found in LlamaForCausalLM"):
        dissect(model)
