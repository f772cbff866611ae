"""Models made elsewhere: what they name as dropped is dropped, and what they lack is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from probes.checkpoints.foreign import with_named_drops
from probes.checkpoints.inspect import inspect
from probes.models.loaded import Loaded, load
from probes.pair import Pair, load_pair
from probes.recording import lines
from probes.recording.upgrade import FORMAT
from probes.schema.errors import BadInput
from probes.schema.events import RunStarted
from probes.schema.header import PruneReport
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.prune_models import TOKENIZER, logits
from tests.support.tiny import moved, save, tiny

SIZE = len(TOKENIZER)
SETTINGS = RunSettings("the king", raw=True, follow=Follow.DENSE, steps=5)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def dense(tmp_path) -> Path:
    return save(tmp_path / "dense", tiny("llama", vocab_size=SIZE), TOKENIZER)


def made(folder: Path, model: PreTrainedModel, **config: Any) -> Path:
    """The model as somebody else would leave it in a folder."""
    save(folder, model, TOKENIZER)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return folder


def rewritten(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def pair(dense: Path, pruned: Path) -> Pair:
    return load_pair(PairSpec(dense=str(dense), pruned=str(pruned)))


def report(dense: Path, pruned: Path) -> PruneReport:
    found = pair(dense, pruned).report
    assert found is not None
    return found


def kls(of: Pair) -> list[float]:
    with of.lockstep(SETTINGS) as lockstep:
        return [record.own.p.kl for record in lockstep if record.own]


# What is named as dropped ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "mistral", "gemma2"])
@pytest.mark.parametrize("listed", [[2, 0], [True, False, True], [True, None, True]], ids=str)
def test_a_drop_list_is_obeyed_whatever_it_is_written_as(architecture, listed, tmp_path):
    model = tiny(architecture, vocab_size=SIZE)
    folder = made(tmp_path / "made", model, drop_attn_list=listed, drop_mlp_list=[1])
    found = with_named_drops(load(str(folder), drops_obeyed=True), Work())
    twin = Twin(model)
    twin.drop(Part("attn", 0), Part("attn", 2), Part("mlp", 1))
    assert sorted(found.dropped) == [Part("attn", 0), Part("attn", 2), Part("mlp", 1)]
    assert torch.equal(logits(found.loaded.model), logits(twin.model))
    assert not torch.equal(logits(found.loaded.model), logits(model))


def test_lists_that_are_null_or_false_throughout_drop_nothing(dense, tmp_path):
    model = tiny("llama", vocab_size=SIZE)
    folder = made(tmp_path / "made", model, drop_attn_list=None, drop_mlp_list=[False] * 3)
    assert report(dense, folder).dropped == ()


def test_the_code_that_comes_with_a_dropped_model_is_not_needed(dense, tmp_path):
    code = {"AutoModelForCausalLM": "modeling_dropped_llama.LlamaForCausalLM"}
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_attn_list=[1], auto_map=code)
    assert report(dense, folder).dropped == ("attn 1",)


def test_dropped_sublayers_keep_caches_and_positions_right_while_stepping(dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_attn_list=[0], drop_mlp_list=[2])
    here = load_pair(PairSpec(dense=str(dense), prune=parse("drop-attn@layers=0+drop-mlp@layers=2")))
    assert kls(pair(dense, folder)) == kls(here)
    assert report(dense, folder).dropped_parameters == here.report.dropped_parameters


def test_files_may_lack_what_is_dropped(dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_attn_list=[1])
    whole = kls(pair(dense, folder))
    gone = ("layers.1.self_attn", "layers.1.input_layernorm")
    rewritten(folder, lambda held: {name: t for name, t in held.items() if not any(part in name for part in gone)})
    found = pair(dense, folder)
    assert kls(found) == whole
    assert found.report.tensors == ()
    assert any("5 tensors of dropped sublayers are in no file." in note for note in found.report.notes)


@pytest.mark.parametrize("needed", ["layers.1.post_attention_layernorm", "layers.1.mlp.up_proj", "layers.2.self_attn"])
def test_files_that_lack_more_than_what_is_dropped_are_refused(needed, dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_attn_list=[1])
    gone = ("layers.1.self_attn", needed)
    rewritten(folder, lambda held: {name: t for name, t in held.items() if not any(part in name for part in gone)})
    with pytest.raises(BadInput, match="Weights missing"):
        pair(dense, folder)


def test_a_list_that_names_a_layer_too_many_is_refused(dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_attn_list=[3])
    with pytest.raises(BadInput, match="attn 3"):
        pair(dense, folder)


# What is measured -----------------------------------------------------------------------------------------------


def test_the_dense_model_itself_is_warned_of_loudly(dense):
    found = report(dense, dense)
    assert len(found.warnings) == 1
    assert "is the dense model: all 29 tensors are identical" in found.warnings[0]
    assert (found.zeroed, found.tensors, found.dropped) == (0, (), ())
    assert found.summary == "nothing removed"


def test_zeros_are_counted_by_matrix_and_differences_by_tensor(dense, tmp_path):
    model = tiny("llama", vocab_size=SIZE)
    up, norm = model.model.layers[1].mlp.up_proj.weight, model.model.norm.weight
    before = up.clone()
    with torch.no_grad():
        up[:, ::2] = 0
        norm += 0.25
    found = report(dense, save(tmp_path / "made", model, TOKENIZER))
    zeros = {matrix.name: matrix.zeros for matrix in found.matrices if matrix.zeros}
    assert zeros == {"model.layers.1.mlp.up_proj": up.numel() // 2}
    assert (found.zeroed, found.targeted) == (up.numel() // 2, sum(m.rows * m.columns for m in found.matrices))
    assert len(found.matrices) == 21
    differing = {tensor.name: tensor for tensor in found.tensors}
    assert set(differing) == {"model.layers.1.mlp.up_proj.weight", "model.norm.weight"}
    of_up = differing["model.layers.1.mlp.up_proj.weight"]
    assert of_up.relative == pytest.approx(float((up - before).norm() / before.norm()), rel=1e-6)
    assert of_up.largest == pytest.approx(float((up - before).abs().max()))
    assert differing["model.norm.weight"].largest == pytest.approx(0.25, rel=1e-6)
    assert found.compared == 29
    assert found.summary.endswith("zeroed, 2 of 29 tensors differ")


@pytest.mark.parametrize(
    ("kept", "group", "obeys"),
    [(2, 4, ("2:4", "4:8")), (1, 4, ("1:4", "2:4", "4:8")), (4, 8, ("4:8",)), (3, 4, ())],
)
def test_n_m_is_what_every_group_obeys(kept, group, obeys, dense, tmp_path):
    model = tiny("llama", vocab_size=SIZE)
    weight = model.model.layers[0].mlp.down_proj.weight
    with torch.no_grad():
        weight.view(-1, group)[:, kept:] = 0
    made_ = save(tmp_path / "made", model, TOKENIZER)
    found = {m.name: m.patterns for m in report(dense, made_).matrices}
    assert found.pop("model.layers.0.mlp.down_proj") == obeys
    assert not any(found.values())


def test_one_group_that_breaks_a_pattern_is_enough(dense, tmp_path):
    model = tiny("llama", vocab_size=SIZE, hidden_size=32, intermediate_size=512)
    weight = model.model.layers[0].mlp.up_proj.weight
    with torch.no_grad():
        weight.view(-1, 4)[:, 2:] = 0
        weight[500, 2] = 1
    found = inspect(str(save(tmp_path / "made", model, TOKENIZER))).report
    assert {m.name: m.patterns for m in found.matrices}["model.layers.0.mlp.up_proj"] == ()


def test_a_copy_in_another_dtype_differs_by_its_rounding(dense, tmp_path):
    found = report(dense, save(tmp_path / "made", moved(tiny("llama", vocab_size=SIZE), torch.bfloat16), TOKENIZER))
    assert len(found.tensors) == found.compared
    assert all(0 < tensor.relative < 0.01 for tensor in found.tensors)
    assert found.warnings == ()


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "gemma3"])
def test_other_architectures_are_measured_as_well(architecture, tmp_path):
    dense = save(tmp_path / "dense", tiny(architecture, vocab_size=SIZE), TOKENIZER)
    here = load_pair(PairSpec(dense=str(dense), prune=parse("magnitude:2:4")))
    folder = here.save(tmp_path / "pruned").folder
    found = report(dense, folder)
    assert {m.name: m.zeros for m in found.matrices} == {m.name: m.zeros for m in here.report.matrices}
    assert all("2:4" in matrix.patterns for matrix in found.matrices)


# Other shapes ---------------------------------------------------------------------------------------------------


def shallower(*kept: int) -> PreTrainedModel:
    """The dense model without some of its layers, built as a model of its own."""
    whole = tiny("llama", vocab_size=SIZE)
    model = tiny("llama", vocab_size=SIZE, num_hidden_layers=len(kept))
    held = whole.state_dict()
    for name in model.state_dict():
        parts = name.split(".")
        if "layers" in parts:
            parts[2] = str(kept[int(parts[2])])
        model.state_dict()[name].copy_(held[".".join(parts)])
    return model


def test_a_model_with_fewer_layers_says_which_are_gone(dense, tmp_path):
    folder = save(tmp_path / "made", shallower(0, 2), TOKENIZER)
    found = report(dense, folder)
    assert found.dropped == ("block 1",)
    assert found.tensors == ()
    assert sorted({matrix.layer for matrix in found.matrices}) == [0, 2]
    assert "It has 2 of the dense model's 3 layers; missing: 1." in found.notes
    here = load_pair(PairSpec(dense=str(dense), prune=parse("drop-block@layers=1")))
    assert found.dropped_parameters == here.report.dropped_parameters
    assert kls(pair(dense, folder)) == kls(here)


def test_layers_are_told_even_where_the_rest_was_pruned_as_well(dense, tmp_path):
    model = shallower(1, 2)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.up_proj.weight[:, ::2] = 0
    found = report(dense, save(tmp_path / "made", model, TOKENIZER))
    assert found.dropped == ("block 0",)
    assert len(found.tensors) == 2


def test_layers_that_resemble_none_of_the_dense_ones_are_not_guessed_at(dense, tmp_path):
    other = tiny("llama", seed=9, vocab_size=SIZE, num_hidden_layers=2)
    found = report(dense, save(tmp_path / "made", other, TOKENIZER))
    assert found.dropped == ()
    assert found.shape == "2 of 3 layers"
    assert any("do not show which" in note for note in found.notes)


def test_a_narrower_model_is_measured_and_its_shapes_are_told(dense, tmp_path):
    narrow = tiny("llama", vocab_size=SIZE, intermediate_size=48)
    folder = save(tmp_path / "made", narrow, TOKENIZER)
    found = report(dense, folder)
    assert found.shape == "narrower"
    assert found.summary.startswith("narrower")
    said = [note for note in found.notes if "another shape" in note]
    assert len(said) == 1
    assert "model.layers.0.mlp.gate_proj.weight is 48 × 32 instead of 64 × 32" in said[0]
    assert all(kl > 0 for kl in kls(pair(dense, folder)))


# Afterwards -----------------------------------------------------------------------------------------------------


def test_another_setting_gives_the_dense_model_a_twin(dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_attn_list=[1])
    first = pair(dense, folder)
    here = first.repruned(parse("magnitude:0.5"))
    assert here.report.setting == "magnitude:0.5"
    assert here.report.dropped == ()
    assert kls(here) == kls(load_pair(PairSpec(dense=str(dense), prune=parse("magnitude:0.5"))))


def test_the_header_of_a_run_holds_what_was_measured(dense, tmp_path):
    folder = save(tmp_path / "made", shallower(0, 2), TOKENIZER)
    found = pair(dense, folder)
    header = found.header(SETTINGS, found.prompt(SETTINGS))
    assert header.title == "made"
    assert header.prune is not None
    assert header.prune.summary == "1 block dropped"


def test_a_recording_holds_what_was_measured(dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", seed=3, vocab_size=SIZE), drop_attn_list=[1])
    found = pair(dense, folder)
    header = found.header(SETTINGS, found.prompt(SETTINGS))
    line, _ = lines.decode(lines.encode(RunStarted(1, header), 0.0), FORMAT)
    assert isinstance(line, lines.Line)
    assert line.event == RunStarted(1, header)
    assert header.prune.compared == len(header.prune.tensors) == 29 - 4  # all but the dropped attention's


def test_inspecting_alone_says_what_can_be_said_without_a_dense_model(dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_mlp_list=[True, False, False])
    found = inspect(str(folder))
    assert found.report.dropped == ("mlp 0",)
    assert found.report.compared is None
    assert (found.format, found.provenance, found.unchanged, found.against) == ("safetensors", None, None, None)


def test_a_folder_without_a_tokenizer_can_be_inspected(tmp_path):
    assert inspect(str(save(tmp_path / "made", tiny("llama", vocab_size=SIZE)))).model.layers == 3


def test_the_twin_of_a_dropped_model_shares_its_weights(dense, tmp_path):
    folder = made(tmp_path / "made", tiny("llama", vocab_size=SIZE), drop_attn_list=[1])
    found = with_named_drops(load(str(folder), drops_obeyed=True), Work())
    plain = {p.data_ptr() for p in found.plain.model.parameters()}
    assert {p.data_ptr() for p in found.loaded.model.parameters()} < plain
    assert isinstance(found.loaded, Loaded)
