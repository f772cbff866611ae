"""Former sparse formats: packed here weight by weight, from their description, and unpacked by the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from probes.models.bitmask import sparse_format, unpack
from probes.models.loaded import load
from probes.pair import load_pair
from probes.schema.errors import BadInput
from probes.schema.spec import PairSpec
from probes.system.progress import Work
from tests.support.bitmask_model import SIZE, expected, made, packed, sparse
from tests.support.prune_models import TOKENIZER, logits
from tests.support.tiny import save, tiny


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("shape", [(3, 8), (5, 13), (1, 1), (4, 64), (2, 7)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn], ids=str)
def test_every_weight_comes_back_to_its_place(shape, dtype):
    generator = torch.Generator().manual_seed(shape[1])
    matrix = torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) > 0.5)
    matrix = matrix.to(dtype)
    parts = packed(matrix.float())
    values = parts["compressed"].to(dtype)
    again = unpack(parts["bitmask"], values, shape)
    assert again.dtype is dtype
    assert torch.equal(again.float(), torch.where(matrix.float() != 0, matrix.float(), 0))


def test_two_of_four_keeps_a_zero_where_a_group_has_fewer_values():
    matrix = torch.tensor([[0.0, 3, 0, 0, 1, 0, -2, 0]])
    parts = packed(matrix, two_of_four=True)
    assert parts["compressed"].shape == (1, 4)
    assert torch.equal(unpack(parts["bitmask"], parts["compressed"], (1, 8)), matrix)


@pytest.mark.parametrize("kind", ["sparse-bitmask", "sparse-24-bitmask"])
@pytest.mark.parametrize(
    "where",
    [
        lambda found: found,
        lambda found: {"compression_config": found},
        lambda found: {"quantization_config": {**found, "quant_method": "compressed-tensors", "format": "dense"}},
    ],
    ids=["alone", "compression_config", "quantization_config"],
)
@pytest.mark.parametrize("name", ["{base}.{part}", "{base}.weight.{part}"])
def test_a_folder_in_a_former_format_is_the_model_that_was_packed(kind, where, name, tmp_path):
    folder = made(tmp_path / "made", kind, where(sparse(kind)), name)
    loaded = load(str(folder))
    weights = expected(folder)
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, weights[key])
    assert loaded.info.name == "made"


def test_a_folder_of_several_files_is_unpacked_whole(tmp_path):
    folder = made(tmp_path / "made", "sparse-bitmask", sparse("sparse-bitmask"), files=3)
    plain = tiny("llama", vocab_size=SIZE)
    plain.load_state_dict(expected(folder))
    assert torch.equal(logits(load(str(folder)).model), logits(plain))


def test_it_is_unpacked_once(tmp_path):
    folder = made(tmp_path / "made", "sparse-bitmask", sparse("sparse-bitmask"))
    tasks: list[str] = []
    load(str(folder), work=Work(lambda event: tasks.append(event.task)))
    assert "Unpacking made (once)" in tasks
    tasks.clear()
    load(str(folder), work=Work(lambda event: tasks.append(event.task)))
    assert "Unpacking made (once)" not in tasks


def test_its_zeros_and_pattern_are_measured(tmp_path):
    dense = save(tmp_path / "dense", tiny("llama", vocab_size=SIZE), TOKENIZER)
    folder = made(tmp_path / "made", "sparse-24-bitmask", sparse("sparse-24-bitmask"))
    report = load_pair(PairSpec(dense=str(dense), pruned=str(folder))).report
    assert report is not None
    assert report.zeroed == report.targeted // 2
    assert all("2:4" in matrix.patterns for matrix in report.matrices)
    assert len(report.tensors) == 21


@pytest.mark.parametrize("part", ["compressed", "bitmask", "shape"])
def test_a_matrix_that_is_not_whole_is_refused(part, tmp_path):
    folder = made(tmp_path / "made", "sparse-bitmask", sparse("sparse-bitmask"))
    file = folder / "model.safetensors"
    tensors = load_file(file)
    key = f"model.layers.1.mlp.up_proj.{part}"
    tensors[key] = tensors[key].flatten()[:-1].clone()
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(
        BadInput, match=r"made can't be unpacked: the sparse matrix model\.layers\.1\.mlp\.up_proj is incomplete"
    ):
        load(str(folder))
    assert not list((tmp_path / "cache" / "models").glob("*unpacked*/config.json"))


@pytest.mark.parametrize("apart", ["bitmask", "compressed", "shape"])
@pytest.mark.parametrize("name", ["{base}.{part}", "{base}.weight.{part}"])
def test_the_parts_of_a_matrix_may_lie_in_two_files(apart, name, tmp_path):
    folder = made(tmp_path / "made", "sparse-bitmask", sparse("sparse-bitmask"), name)
    held = load_file(folder / "model.safetensors")
    second = {key: value for key, value in held.items() if key.endswith(f".{apart}")}
    split(folder, {key: value for key, value in held.items() if key not in second}, second)
    plain = tiny("llama", vocab_size=SIZE)
    plain.load_state_dict(expected(folder))
    loaded = load(str(folder))
    assert torch.equal(logits(loaded.model), logits(plain))
    assert loaded.warnings == ()


@pytest.mark.parametrize("part", ["compressed", "shape"])
def test_a_part_that_is_in_no_file_is_named(part, tmp_path):
    folder = made(tmp_path / "made", "sparse-bitmask", sparse("sparse-bitmask"))
    held = load_file(folder / "model.safetensors")
    gone = f"model.layers.1.mlp.up_proj.{part}"
    rest = [key for key in held if key != gone]
    split(folder, *({key: held[key] for key in half} for half in (rest[::2], rest[1::2])))
    with pytest.raises(BadInput, match=f"made can't be unpacked: a sparse matrix is incomplete: {gone} is in no file"):
        load(str(folder))


def split(folder: Path, *shards: dict[str, Tensor]) -> None:
    """The folder's weights in several files."""
    (folder / "model.safetensors").unlink()
    where = {}
    for number, tensors in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def test_names_without_the_prefix_of_the_whole_model_are_the_same_names(tmp_path):
    folder = made(tmp_path / "made", "sparse-bitmask", sparse("sparse-bitmask"))
    held = load_file(folder / "model.safetensors")
    bare = {key.removeprefix("model."): value for key, value in held.items()}
    save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load(str(folder))
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, expected(folder)[key])
    assert loaded.warnings == ()


def test_what_names_no_sparse_format_is_left_alone():
    assert sparse_format({}) == ""
    assert sparse_format({"quantization_config": {"quant_method": "gptq"}}) == ""
    assert sparse_format({"quantization_config": {"sparsity_config": {"format": "dense"}}}) == "dense"
