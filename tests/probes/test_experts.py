"""Mixtures of experts: what chooses among experts stays dense, and what is out of reach is said."""

from __future__ import annotations

import pytest
import torch

from probes.anatomy import dissect
from probes.errors import BadInput
from probes.loading.work import Work
from probes.prune.setting import parse
from probes.prune.structured import thinnings
from probes.twin import Twin
from tests.probes.mixed import MIXTURES, mixed

IDS = torch.randint(1, 128, (4, 32), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("architecture", [*MIXTURES, "granitemoehybrid", "jamba", "qwen3_next"])
def test_what_chooses_among_experts_is_no_matrix_to_prune(architecture: str) -> None:
    model = mixed(architecture)
    anatomy = dissect(model)
    for matrix in (matrix for matrix in anatomy.matrices if matrix.sublayer == "mlp"):
        assert model.get_submodule(matrix.name).weight.shape[0] not in (1, 4)
        assert not matrix.name.endswith((".router", ".gate", ".shared_expert_gate"))
    assert any(name.endswith(("router.weight", ".gate.weight")) for name in anatomy.unreachable)


def test_a_gate_of_a_shared_expert_is_no_matrix_to_prune() -> None:
    assert "model.layers.1.mlp.shared_expert_gate.weight" in dissect(mixed("qwen2_moe")).unreachable


@pytest.mark.parametrize(
    ("architecture", "thinned", "left"), [("mimo_v2_flash", "1 of 4", "1-3"), ("qwen3_moe", "2 of 4", "1,3")]
)
def test_neurons_says_which_mlps_stay_whole(architecture: str, thinned: str, left: str) -> None:
    twin = Twin(mixed(architecture))
    found, notes = thinnings(twin, parse("neurons:0.5").parts[0], lambda: IDS, Work())
    assert found
    assert len(notes) == 1
    assert f"thins {thinned} MLPs" in notes[0]
    assert f"layers {left} stay whole" in notes[0]


@pytest.mark.parametrize("architecture", ["phimoe", "mixtral", "olmoe"])
def test_neurons_of_experts_alone_are_refused_with_what_works_instead(architecture: str) -> None:
    twin = Twin(mixed(architecture))
    with pytest.raises(BadInput, match=r"no MLP whose output one matrix writes\. Experts can't be thinned: drop"):
        thinnings(twin, parse("neurons:0.5").parts[0], lambda: IDS, Work())


def test_heads_of_attentions_of_several_shapes_are_each_looked_at() -> None:
    """In MiMo-V2, layers that look back a window have other numbers of keys and values than those that see all."""
    twin = Twin(mixed("mimo_v2_flash"))
    found, _ = thinnings(twin, parse("heads:0.5").parts[0], lambda: IDS, Work())
    for thinning in found:
        assert thinning.keep.shape == twin.weight(thinning.name).shape
        twin.thin(thinning.name, thinning.keep)
    for block in twin.anatomy.blocks:  # a group that writes nothing has no values either
        written = twin.weight(f"{block.name}.self_attn.o_proj").abs().sum(0).view(-1, 8).any(1)
        made = twin.weight(f"{block.name}.self_attn.v_proj").abs().sum(1).view(-1, 8).any(1)
        assert torch.equal(written.view(len(made), -1).any(1), made)


@pytest.mark.parametrize("architecture", ["deepseek_v4", "gemma4_text"])
def test_attentions_without_heads_of_their_own_are_refused_in_a_sentence(architecture: str) -> None:
    with pytest.raises(BadInput, match="does not divide into heads of its own"):
        thinnings(Twin(mixed(architecture)), parse("heads:0.5").parts[0], lambda: IDS, Work())
