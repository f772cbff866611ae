"""Quantised folders: measured as what they compute with, and refused with a sentence where a package is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    QuantizationStatus,
    apply_quantization_config,
)
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file, save_file

from probes.checkpoints.foreign import with_named_drops
from probes.checkpoints.inspect import inspect
from probes.checkpoints.missing import measure_missing
from probes.models import quantised
from probes.models.loaded import load
from probes.pair import load_pair
from probes.schema.errors import BadInput
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.system.progress import Work
from tests.support.prune_models import TOKENIZER, logits
from tests.support.tiny import save, tiny

SIZE = len(TOKENIZER)
INT8 = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="channel")
INT4 = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="channel")
FP8 = QuantizationArgs(num_bits=8, type="float", symmetric=True, strategy="channel")
TOKEN = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True)
KINDS = {
    "int-quantized": (INT8, TOKEN),
    "pack-quantized": (INT4, None),
    "float-quantized": (FP8, None),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


def made(folder: Path, kind: str) -> Path:
    """A tiny model as compressed-tensors stores it."""
    weights, activations = KINDS[kind]
    model = tiny("llama", vocab_size=SIZE)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights, input_activations=activations)
    config = QuantizationConfig(
        config_groups={"group_0": scheme}, ignore=["lm_head"], quantization_status=QuantizationStatus.COMPRESSED
    )
    apply_quantization_config(model, config)
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            low, high = module.weight.amin(1, keepdim=True), module.weight.amax(1, keepdim=True)
            module.weight_scale.data.copy_(calculate_qparams(low, high, weights)[0])
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    save(folder, model, TOKENIZER)
    compressor.update_config(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_folder_is_measured_by_the_weights_it_computes_with(kind, tmp_path, capfd):
    dense = save(tmp_path / "dense", tiny("llama", vocab_size=SIZE), TOKENIZER)
    folder = made(tmp_path / "made", kind)
    capfd.readouterr()
    pair = load_pair(PairSpec(dense=str(dense), pruned=str(folder)))
    assert capfd.readouterr() == ("", "")
    report = pair.report
    assert len(report.matrices) == 21
    assert {tensor.name.rpartition(".")[2] for tensor in report.tensors} == {"weight"}
    assert len(report.tensors) == 21
    assert all(0 < tensor.relative < 0.2 for tensor in report.tensors)
    assert any("It is quantised (compressed-tensors" in note for note in report.notes)
    assert report.warnings == ()
    settings = RunSettings("the king", raw=True, follow=Follow.DENSE, steps=3)
    with pair.lockstep(settings) as lockstep:
        assert all(record.own.p.kl > 0 for record in lockstep if record.own)


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_alike_at_first_and_later(kind, tmp_path):
    loaded = load(str(made(tmp_path / "made", kind)))
    first = logits(loaded.model)
    assert torch.equal(first, logits(loaded.model))
    found = inspect(str(tmp_path / "made"))
    assert found.format.startswith("compressed-tensors ")


def test_weights_that_hold_no_plain_numbers_are_said_not_to_be_counted(tmp_path):
    dense = load(str(save(tmp_path / "dense", tiny("llama", vocab_size=SIZE), TOKENIZER)))
    other = load(str(tmp_path / "dense"))
    layer = other.model.model.layers[1].mlp.up_proj
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.int8), requires_grad=False)
    report = measure_missing(with_named_drops(other, Work()), dense, Work())
    assert len(report.matrices) == 20
    assert "1 of 21 matrices hold no plain numbers, so their zeros can't be counted." in report.notes
    unread = "1 tensor can't be compared, for lack of plain numbers, for example model.layers.1.mlp"
    assert any(unread in note for note in report.notes)
    assert report.warnings == ()


def test_sparse_weights_in_the_plain_format_are_not_called_quantised(tmp_path):
    folder = save(tmp_path / "made", tiny("llama", vocab_size=SIZE), TOKENIZER)
    named = {"quant_method": "compressed-tensors", "format": "dense", "sparsity_config": {"format": "dense"}}
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": named}))
    found = inspect(str(folder))
    assert found.format == "safetensors"
    assert found.report.notes == ()


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    folder = made(tmp_path / "made", "int-quantized")
    monkeypatch.setattr(quantised, "find_spec", lambda _name: None)
    with pytest.raises(BadInput, match=r"pip install \"phier\[compressed\]\""):
        load(str(folder))


def test_a_quantised_dense_model_is_not_saved_pruned(tmp_path):
    pair = load_pair(PairSpec(dense=str(made(tmp_path / "made", "pack-quantized")), prune=parse("drop-mlp@layers=1")))
    with pytest.raises(BadInput, match=r"The dense model is quantised \(compressed-tensors pack-quantized\)"):
        pair.save(tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_names_without_the_prefix_of_the_whole_model_are_the_same_names(kind, tmp_path):
    folder = made(tmp_path / "made", kind)
    expected = logits(load(str(folder)).model)
    file = folder / "model.safetensors"
    bare = {key.removeprefix("model."): value for key, value in load_file(file).items()}
    save_file(bare, file, metadata={"format": "pt"})
    loaded = load(str(folder))
    assert torch.equal(logits(loaded.model), expected)
    assert (loaded.notes, loaded.warnings) == ((), ())


@pytest.mark.parametrize("found", [{"quant_method": "imagined", "bits": 4}, {"quant_method": "bitsandbytes"}], ids=str)
def test_a_method_that_is_not_known_is_said_to_be_left_out_and_not_called_quantised(found, tmp_path):
    dense = save(tmp_path / "dense", tiny("llama", vocab_size=SIZE), TOKENIZER)
    folder = save(tmp_path / "made", tiny("llama", vocab_size=SIZE), TOKENIZER)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": found}))
    pair = load_pair(PairSpec(dense=str(dense), pruned=str(folder)))
    assert pair.every_warning[0] == (
        f"made's config.json says that its weights are quantised by '{found['quant_method']}', which the installed "
        "transformers does not know. The numbers in its files are used as they are."
    )
    assert not any("It is quantised" in note for note in pair.every_note)
    assert inspect(str(folder)).format == "safetensors"
    again = load_pair(PairSpec(dense=str(folder), prune=parse("magnitude:0.5"))).save(tmp_path / "out")
    assert again.report.zeroed > 0
