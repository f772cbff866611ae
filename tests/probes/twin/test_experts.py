"""Mixtures of experts: what chooses among experts stays dense, and what is out of reach is said."""

from __future__ import annotations

import pytest
import torch

from probes.checkpoints.foreign import ForeignModel
from probes.checkpoints.missing import measure_missing
from probes.prune import criteria
from probes.prune.apply import apply
from probes.prune.structured import feature_masks
from probes.schema.errors import BadInput, Failure
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec
from probes.system.progress import Work
from probes.twin.anatomy import dissect
from probes.twin.twin import Twin
from tests.support.mixed_layers import MIXTURES, loaded, mixed
from tests.support.tiny import tiny

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
    found, notes = feature_masks(twin, parse("neurons:0.5").parts[0], lambda: IDS, Work())
    assert found
    assert len(notes) == 1
    assert f"prunes {thinned} MLPs" in notes[0]
    assert f"In layers {left} no single matrix writes" in notes[0]


@pytest.mark.parametrize("architecture", ["phimoe", "mixtral", "olmoe"])
def test_neurons_of_experts_alone_are_refused_with_what_works_instead(architecture: str) -> None:
    twin = Twin(mixed(architecture))
    with pytest.raises(
        BadInput, match=r"no MLP whose output one matrix writes\. Neurons of experts can't be pruned: drop"
    ):
        feature_masks(twin, parse("neurons:0.5").parts[0], lambda: IDS, Work())


def test_heads_of_attentions_of_several_shapes_are_each_looked_at() -> None:
    """In MiMo-V2, layers that look back a window have other numbers of keys and values than those that see all."""
    twin = Twin(mixed("mimo_v2_flash"))
    found, _ = feature_masks(twin, parse("heads:0.5").parts[0], lambda: IDS, Work())
    for thinning in found:
        assert thinning.keep.shape == twin.weight(thinning.name).shape
        twin.remove_features(thinning.name, thinning.keep)
    for block in twin.anatomy.blocks:  # a group that writes nothing has no values either
        written = twin.weight(f"{block.name}.self_attn.o_proj").abs().sum(0).view(-1, 8).any(1)
        made = twin.weight(f"{block.name}.self_attn.v_proj").abs().sum(1).view(-1, 8).any(1)
        assert torch.equal(written.view(len(made), -1).any(1), made)


@pytest.mark.parametrize("architecture", ["deepseek_v4", "gemma4_text"])
def test_attentions_without_heads_of_their_own_are_refused_in_a_sentence(architecture: str) -> None:
    with pytest.raises(BadInput, match="does not divide into heads of its own"):
        feature_masks(Twin(mixed(architecture)), parse("heads:0.5").parts[0], lambda: IDS, Work())


@pytest.mark.parametrize("architecture", ["mixtral", "qwen2_moe"])
def test_a_share_is_told_of_what_was_meant_and_of_all_weights(architecture: str) -> None:
    dense = loaded(mixed(architecture))
    twin = Twin(dense.model)
    report = apply(twin, parse("magnitude:0.5"), dense)
    layers = dense.model.model.layers
    everything = sum(p.numel() for p in layers.parameters() if p.dim() > 1)
    assert report.in_layers == everything
    assert report.targeted < everything
    assert (
        f"50.0 % of {report.targeted / 1e6:.1f} M zeroed, {50 * report.targeted / everything:.1f} %" in report.summary
    )
    left = (everything - report.targeted) / 1e6
    assert any(
        note.startswith(f"{left:.1f} M of the layers' {everything / 1e6:.1f} M weights") for note in report.notes
    )
    assert apply(Twin(mixed("bamba")), parse("magnitude:0.5"), loaded(mixed("bamba"))).in_layers == 0


@pytest.mark.parametrize("setting", ["magnitude:0.5@mlp", "wanda:0.5@name=gate_up_proj", "random:0.5@name=experts"])
def test_what_means_experts_alone_says_that_they_are_out_of_reach(setting: str) -> None:
    dense = loaded(mixed("mixtral"))
    with pytest.raises(
        BadInput, match=r"experts and routers \(model.layers.0.mlp.*\) can't be pruned weight by weight.*drop-mlp"
    ):
        apply(Twin(dense.model), parse(setting), dense)
    with pytest.raises(BadInput, match=r"'nose', which is not a matrix of the model\. Names of matrices: k_proj"):
        apply(Twin(dense.model), parse("magnitude:0.5@name=nose"), dense)


def test_zeros_of_experts_and_routers_made_elsewhere_are_counted() -> None:
    dense, second = loaded(mixed("mixtral")), loaded(mixed("mixtral"))
    expert = "model.layers.1.mlp.experts.down_proj"
    second.model.get_parameter(expert)[:, :, ::2] = 0
    second.model.get_parameter("model.layers.2.mlp.gate.weight")[0] = 0
    report = measure_missing(ForeignModel(second, second), dense, Work())
    zeros = second.model.get_parameter(expert).numel() // 2
    assert report.zeroed == zeros + 32
    assert report.zeroed_before == 0
    assert report.targeted == sum(p.numel() for p in second.model.model.layers.parameters() if p.dim() > 1)
    (row,) = [row for row in report.matrices if row.name == expert]
    assert (row.layer, row.sublayer, row.rows, row.columns, row.zeros) == (1, "mlp", 4 * 32, 48, zeros)
    assert not any("not counted" in note or "no plain numbers" in note for note in report.notes)


def test_a_matrix_that_is_never_run_itself_is_refused_with_what_works() -> None:
    """Jamba's mixers use the weights of dt_proj without a call to it, so no text would reach it."""
    dense, few = loaded(mixed("jamba")), CalibrationSpec(samples=2, length=16)
    with pytest.raises(BadInput, match=r"mamba\.dt_proj read no token") as refused:
        apply(Twin(dense.model), parse("wanda:0.5"), dense, few, keep=False)
    assert "@name=" in refused.value.hint
    for setting in ("wanda:0.5@name=q_proj,k_proj", "magnitude:0.5"):
        assert apply(Twin(dense.model), parse(setting), dense, few, keep=False).zeroed


def test_zeros_of_the_dense_model_are_told_apart() -> None:
    dense, second = loaded(tiny("llama")), loaded(tiny("llama"))
    for model in (dense.model, second.model):
        model.model.layers[1].mlp.up_proj.weight[:16] = 0
    twin = Twin(dense.model)
    report = apply(twin, parse("random:0.25@name=up_proj"), dense)
    size = 64 * 32
    assert report.zeroed_before == size // 4
    assert report.targeted == 3 * size
    assert report.summary.endswith("(8.3 % in the dense model too)")
    second.model.model.layers[2].mlp.up_proj.weight[:32] = 0
    found = measure_missing(ForeignModel(second, second), dense, Work())
    assert (found.zeroed, found.zeroed_before) == (size // 4 + size // 2, size // 4)


def test_one_matrix_that_loses_nothing_is_named_without_more() -> None:
    dense = loaded(tiny("llama"))
    dense.model.model.layers[1].self_attn.k_proj.weight[:] = 1.0
    twin = Twin(dense.model)
    report = apply(twin, parse("magnitude-global:0.3@name=k_proj"), dense)
    assert any(note.endswith("1 of 3 matrices: model.layers.1.self_attn.k_proj.") for note in report.notes)


def test_memory_that_runs_out_while_pruning_is_told_and_leaves_the_twin_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = loaded(tiny("llama"))
    twin = Twin(dense.model)
    twin.drop(Part("mlp", 1))

    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(criteria, "magnitude", full)
    with pytest.raises(Failure, match=r"Pruning by magnitude:0.5 needed more memory than cpu has: CUDA .*--samples"):
        apply(twin, parse("magnitude:0.5"), dense)
    assert twin.state.dropped == {Part("mlp", 1)}
    assert not twin.state.changes
