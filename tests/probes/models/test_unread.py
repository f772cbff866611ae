"""Tensors in a model's files that it does not use are named by what they mean for the figures, or mean nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from probes.checkpoints.inspect import inspect
from probes.models.loaded import Loaded, load
from probes.pair import load_pair
from probes.schema.errors import BadInput
from probes.schema.prune_setting import parse
from probes.schema.settings import RunSettings
from probes.schema.spec import LoadOptions, PairSpec
from tests.support.prune_models import TOKENIZER, logits
from tests.support.tiny import ARCHITECTURES, MORE, save, tiny

SIZE = len(TOKENIZER)
SETTINGS = RunSettings("a b", raw=True)
Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


def changed(folder: Path, change: Change, **config: Any) -> Path:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return folder


def made(folder: Path, architecture: str = "llama", change: Change = dict, **settings: Any) -> Path:
    return changed(save(folder, tiny(architecture, vocab_size=SIZE, **settings), TOKENIZER), change)


def with_more(**tensors: Tensor) -> Change:
    return lambda held: held | tensors


def read(folder: Path) -> Loaded:
    return load(str(folder))


# What is lost ---------------------------------------------------------------------------------------------------


def test_a_bias_that_the_configuration_leaves_out_is_in_the_title_the_recording_and_the_summary(tmp_path):
    dense = made(tmp_path / "dense")
    more = with_more(**{f"model.layers.{layer}.self_attn.o_proj.bias": torch.ones(32) for layer in range(3)})
    pruned = made(tmp_path / "pruned", change=more)
    pair = load_pair(PairSpec(dense=str(dense), pruned=str(pruned)))
    warning = (
        "pruned's files hold 3 tensors such as model.layers.0.self_attn.o_proj.bias, which the model does not use: "
        "the figures do not include them."
    )
    assert warning in pair.header(SETTINGS, pair.prompt(SETTINGS)).every_warning
    assert warning in inspect(str(pruned)).report.warnings


def test_what_the_dense_model_leaves_out_is_told_as_well(tmp_path):
    dense = made(tmp_path / "dense", change=with_more(**{"model.layers.0.mlp.up_proj.bias": torch.ones(64)}))
    pair = load_pair(PairSpec(dense=str(dense), prune=parse("magnitude:0.5")))
    told = pair.header(SETTINGS, pair.prompt(SETTINGS)).every_warning
    assert any("dense's files hold a tensor model.layers.0.mlp.up_proj.bias" in warning for warning in told)


LOST = {
    "scales of the stream": ("llama", {"model.layers.0.layer_scales": torch.ones(32)}),
    "a rotation beside the stream": ("llama", {"model.layers.1.mlp_shortcut_Q": torch.eye(32)}),
    "norms of query and key": ("llama", {"model.layers.0.self_attn.q_norm.weight": torch.ones(8)}),
    "an adapter saved with the weights": ("llama", {"model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(2, 32)}),
    "a whole layer more": ("llama", {"model.layers.3.mlp.up_proj.weight": torch.ones(64, 32)}),
    "cross-attention": ("gpt2", {"transformer.h.1.crossattention.c_attn.weight": torch.ones(32, 64)}),
    "a learned bias where masks once were": ("gpt2", {"transformer.h.1.attn.bias": torch.ones(32)}),
    "a learned bias between positions": ("gpt_neox", {"gpt_neox.layers.1.attention.bias": torch.ones(1, 1, 9, 9)}),
    "a head with a bias": ("gpt2", {"lm_head.bias": torch.ones(SIZE)}),
    "a head for another task": ("opt", {"score.weight": torch.ones(2, 32)}),
}


@pytest.mark.parametrize("what", LOST)
def test_whatever_would_compute_something_is_warned_of(what, tmp_path):
    architecture, tensors = LOST[what]
    loaded = read(made(tmp_path / "made", architecture, with_more(**tensors)))
    assert len(loaded.warnings) == 1
    assert next(iter(tensors)) in loaded.warnings[0]
    assert loaded.notes == ()


def test_many_are_counted_and_one_of_each_kind_is_named(tmp_path):
    kinds = ("attn.extra", "mlp.extra", "norm.extra", "other.extra")
    tensors = {f"model.layers.{layer}.{kind}": torch.ones(2) for layer in range(3) for kind in kinds}
    (warning,) = read(made(tmp_path / "made", change=with_more(**tensors))).warnings
    named = ", ".join(f"model.layers.0.{kind}" for kind in kinds[:3])
    assert f"hold 12 tensors such as {named}, which" in warning


def test_a_name_that_would_steer_a_terminal_is_shown_as_marks(tmp_path):
    (warning,) = read(made(tmp_path / "made", change=with_more(**{"x\x1b[2J": torch.ones(1)}))).warnings
    assert "\x1b" not in warning


def test_pickles_are_looked_at_as_well(tmp_path):
    folder = made(tmp_path / "made")
    held = load_file(folder / "model.safetensors") | {"model.layers.0.self_attn.q_norm.weight": torch.ones(8)}
    torch.save(held, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    (warning,) = load(str(folder), LoadOptions(allow_pickle=True)).warnings
    assert "model.layers.0.self_attn.q_norm.weight" in warning


def test_a_kept_layer_of_a_model_cut_by_its_configuration_alone_is_no_prediction_of_more_tokens(tmp_path):
    loaded = read(changed(made(tmp_path / "made"), dict, num_hidden_layers=2))
    assert loaded.info.layers == 2
    assert "hold 9 tensors such as model.layers.2." in loaded.warnings[0]


def test_only_layers_that_predict_more_tokens_are_taken_for_such(tmp_path):
    beyond = {f"model.layers.{layer}.mlp.up_proj.weight": torch.ones(64, 32) for layer in (3, 4)}
    one = read(changed(made(tmp_path / "one", change=with_more(**beyond)), dict, num_nextn_predict_layers=1))
    assert "hold a tensor model.layers.4." in one.warnings[0]
    assert "hold a tensor model.layers.3." in one.notes[0]
    ahead = with_more(**beyond, **{"model.layers.4.eh_proj.weight": torch.ones(32, 64)})
    other = read(made(tmp_path / "other", change=ahead))
    assert "hold a tensor model.layers.3." in other.warnings[0]
    assert "hold 2 tensors such as model.layers.4." in other.notes[0]


@pytest.mark.parametrize("name", ["layers.0.mlp.up_proj.weight", "model.model.layers.0.mlp.up_proj.weight"])
def test_a_tensor_that_is_there_under_two_names_is_warned_of_if_the_two_differ(name, tmp_path):
    (warning,) = read(made(tmp_path / "other", change=with_more(**{name: torch.ones(64, 32)}))).warnings
    assert "hold 1 of the model's tensors twice with different numbers" in warning
    assert name in warning

    def again(held: dict[str, Tensor]) -> dict[str, Tensor]:
        return held | {name: held["model.layers.0.mlp.up_proj.weight"].clone()}

    same = read(made(tmp_path / "same", change=again))
    assert (same.notes, same.warnings) == ((), ())


def in_two_files(folder: Path, again: Tensor) -> Path:
    """A model whose final norm is in both of its files."""
    held = load_file(made(folder) / "model.safetensors")
    (folder / "model.safetensors").unlink()
    split = {name: held.pop(name) for name in [name for name in held if "layers" in name]}
    files = {"model-1.safetensors": held, "model-2.safetensors": split | {"model.norm.weight": again}}
    for file, tensors in files.items():
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {name: file for file, tensors in reversed(files.items()) for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


def test_a_tensor_that_is_in_two_files_is_warned_of_if_the_two_differ(tmp_path):
    (warning,) = read(in_two_files(tmp_path / "other", torch.ones(32))).warnings
    assert "twice with different numbers, such as model.norm.weight:" in warning
    norm = load_file(made(tmp_path / "made") / "model.safetensors")["model.norm.weight"]
    assert read(in_two_files(tmp_path / "same", norm)).warnings == ()


@pytest.mark.parametrize("file", ["model-00003-of-00003.safetensors", "adapter_model.safetensors"])
def test_files_of_tensors_that_are_not_read_at_all_are_a_note(file, tmp_path):
    folder = made(tmp_path / "made")
    save_file({"model.layers.0.mlp.up_proj.bias": torch.ones(64)}, folder / file)
    assert read(folder).notes == (f"made's folder holds files of tensors that are not read: {file}.",)


# What makes the weights wrong -----------------------------------------------------------------------------------


def in_eight_bits(held: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, value in held.items():
        found[name] = value.to(torch.float8_e4m3fn) if "_proj" in name else value
        if "_proj" in name:
            found[f"{name}_scale"] = torch.full((value.shape[0], 1), 3.0)
    return found


def packed(held: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {name: value for name, value in held.items() if "up_proj" not in name}
    for name in held.keys() - found.keys():
        base = name.removesuffix(".weight")
        found |= {f"{base}.qweight": torch.ones(4, 64, dtype=torch.int32), f"{base}.scales": torch.ones(1, 64)}
    return found


def of_meta(held: dict[str, Tensor]) -> dict[str, Tensor]:
    return held | {"model.layers.0.mlp.up_proj.qscale_weight": torch.ones(1)}


@pytest.mark.parametrize("change", [in_eight_bits, packed, of_meta])
@pytest.mark.parametrize(
    "unknown", [{}, {"quantization_config": {"quant_method": "imagined"}}], ids=["none", "unknown"]
)
def test_scales_that_nothing_multiplies_by_are_refused(change, unknown, tmp_path):
    folder = changed(made(tmp_path / "made"), change, **unknown)
    with pytest.raises(
        BadInput, match=r"hold (\d+ tensors such as|a tensor) model\.layers\.0.*belong to quantised weights"
    ):
        read(folder)


# What means nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": True}], ids=["own head", "tied"])
def test_a_plain_model_is_told_nothing_of(architecture, settings, tmp_path):
    loaded = read(made(tmp_path / "made", architecture, **settings))
    assert (loaded.notes, loaded.warnings) == ((), ())


def causal(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(size, size).tril().to(dtype)[None, None]


LEFTOVERS: dict[str, tuple[str, dict[str, Tensor]]] = {
    "llama": ("llama", {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
    "mistral": ("mistral", {"model.rotary_emb.inv_freq": torch.ones(4)}),
    "gpt2": (
        "gpt2",
        {"transformer.h.0.attn.bias": causal(256), "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)},
    ),
    "gpt_neox": (
        "gpt_neox",
        {
            "gpt_neox.layers.0.attention.bias": causal(256, torch.bool),
            "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
            "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
        },
    ),
    "phi": ("phi", {"model.layers.0.self_attn.rotary_emb.cos_cached": torch.ones(8, 4)}),
    "gpt_neox without its prefix": ("gpt_neox", {"layers.1.attention.bias": causal(64, torch.uint8)}),
    "sinusoids": (
        "opt",
        {"model.decoder.embed_positions.weights": torch.ones(8, 32), "decoder.version": torch.ones(1)},
    ),
    "opt": ("opt", {"model.decoder.position_ids": torch.arange(8)[None]}),
}


@pytest.mark.parametrize("layout", LEFTOVERS)
def test_buffers_that_were_once_saved_are_told_nothing_of(layout, tmp_path):
    architecture, tensors = LEFTOVERS[layout]
    loaded = read(made(tmp_path / "made", architecture, with_more(**tensors)))
    assert (loaded.notes, loaded.warnings) == ((), ())


def test_names_without_the_prefix_of_the_whole_model_are_the_same_names(tmp_path):
    def bare(held: dict[str, Tensor]) -> dict[str, Tensor]:
        short = {name.removeprefix("transformer."): value for name, value in held.items()}
        return short | {f"h.{layer}.attn.bias": causal(256) for layer in range(3)}

    loaded = read(made(tmp_path / "made", "gpt2", bare))
    assert (loaded.notes, loaded.warnings) == ((), ())
    assert torch.equal(logits(loaded.model), logits(tiny("gpt2", vocab_size=SIZE)))


def test_a_tied_head_that_is_stored_twice_is_told_nothing_of(tmp_path):
    twice = made(
        tmp_path / "made", change=lambda held: held | {"lm_head.weight": held["model.embed_tokens.weight"] * 1}
    )
    loaded = read(twice)
    assert (loaded.notes, loaded.warnings) == ((), ())
    assert torch.equal(logits(loaded.model), logits(tiny("llama", vocab_size=SIZE)))


# What is a fact and no loss -------------------------------------------------------------------------------------

AHEAD = {
    "by its name": ({"mtp.layers.0.mlp.up_proj.weight": torch.ones(64, 32), "mtp.norm.weight": torch.ones(32)}, {}),
    "as a numbered layer": (
        {"model.layers.3.eh_proj.weight": torch.ones(32, 64), "model.layers.3.mlp.up_proj.weight": torch.ones(64, 32)},
        {},
    ),
    "as the configuration says": (
        {"model.layers.3.mlp.up_proj.weight": torch.ones(64, 32), "model.layers.3.norm.weight": torch.ones(32)},
        {"num_nextn_predict_layers": 1},
    ),
    "as layers of their own": (
        {"model.mtp_layers.0.norm.weight": torch.ones(32), "model.mtp_layers.0.x.weight": torch.ones(2)},
        {},
    ),
}


@pytest.mark.parametrize("how", AHEAD)
def test_layers_that_predict_more_tokens_are_a_note(how, tmp_path):
    tensors, config = AHEAD[how]
    loaded = read(changed(made(tmp_path / "made"), with_more(**tensors), **config))
    assert loaded.warnings == ()
    (note,) = loaded.notes
    assert "hold 2 tensors such as" in note
    assert "for predicting tokens beyond the next one" in note


def test_a_picture_tower_is_a_note_unless_text_is_lost_as_well(tmp_path):
    tower = {
        "model.vision_tower.encoder.layers.7.mlp.fc1.weight": torch.ones(4, 4),
        "multi_modal_projector.linear.weight": torch.ones(4, 32),
        "model.visual.blocks.0.norm.weight": torch.ones(4),
    }
    loaded = read(made(tmp_path / "tower", change=with_more(**tower)))
    assert loaded.warnings == ()
    (note,) = loaded.notes
    assert "hold 3 tensors such as" in note
    assert "for pictures or sound" in note
    lost = {"model.layers.1.cross_attn.q_proj.weight": torch.ones(32, 32)}
    loaded = read(made(tmp_path / "crossed", change=with_more(**tower, **lost)))
    assert len(loaded.notes) == 1
    assert "model.layers.1.cross_attn.q_proj.weight" in loaded.warnings[0]
