"""Two models are called one only if nothing on either side differs and both answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PhimoeConfig, PhimoeForCausalLM

from probes.checkpoints.foreign import with_named_drops
from probes.checkpoints.missing import measure_missing
from probes.models.loaded import load
from probes.pair import Pair, load_pair
from probes.schema.header import PruneReport
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.system.progress import Work
from tests.support.prune_models import TOKENIZER
from tests.support.steppable import spread
from tests.support.tiny import save, tiny

SIZE = len(TOKENIZER)
IDENTICAL = "The second model is the dense model"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


def configured(folder: Path, architecture: str = "llama", settings: dict[str, Any] | None = None, **config: Any):
    """A tiny model in a folder; `config` is changed in its file alone, so the weights stay as they are."""
    save(folder, tiny(architecture, vocab_size=SIZE, **(settings or {})), TOKENIZER)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return folder


def pair(dense: Path, pruned: Path) -> Pair:
    return load_pair(PairSpec(dense=str(dense), pruned=str(pruned)))


def report(of: Pair) -> PruneReport:
    assert of.report is not None
    return of.report


def kl_sum(of: Pair, words: str = "the king and the cat and the hat") -> float:
    settings = RunSettings(words, raw=True, follow=Follow.DENSE, steps=4)
    with of.lockstep(settings) as lockstep:
        return sum(record.own.p.kl for record in lockstep if record.own)


OTHERWISE: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "rms_norm_eps": ("llama", {}, {"rms_norm_eps": 0.1}, "rms_norm_eps is 0.1 instead of 1e-06"),
    "hidden_act": ("llama", {}, {"hidden_act": "relu"}, "hidden_act is relu instead of silu"),
    "rope_theta": (
        "llama",
        {},
        {"rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}},
        "rope_parameters.rope_theta is 100.0 instead of 10000.0",
    ),
    "heads cut otherwise": ("gpt2", {}, {"n_head": 8}, "n_head is 8 instead of 4"),
    "sliding_window": ("mistral", {}, {"sliding_window": 3}, "sliding_window is 3 instead of absent"),
    "experts a token": ("mixtral", {}, {"num_experts_per_tok": 1}, "num_experts_per_tok is 1 instead of 2"),
    "soft cap": ("gemma2", {}, {"final_logit_softcapping": 2.0}, "final_logit_softcapping is 2.0 instead of 30.0"),
    "parallel residual": (
        "gpt_neox",
        {},
        {"use_parallel_residual": False},
        "use_parallel_residual is False instead of True",
    ),
    "partial rotary": (
        "phi",
        {},
        {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 1.0}},
        "rope_parameters.partial_rotary_factor is 1.0 instead of 0.5",
    ),
    "longest context, from which dynamic factors are made": (
        "llama",
        {
            "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100.0},
            "max_position_embeddings": 16,
        },
        {"max_position_embeddings": 8},
        "max_position_embeddings is 8 instead of 16",
    ),
    "layer types": (
        "gemma3",
        {},
        {"layer_types": ["full_attention"] * 3},
        "layer_types is ",
    ),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_equal_weights_that_are_used_otherwise_are_told_with_both_values(what, tmp_path):
    architecture, settings, config, sentence = OTHERWISE[what]
    dense = configured(tmp_path / "dense", architecture, settings)
    of = pair(dense, configured(tmp_path / "made", architecture, settings, **config))
    assert kl_sum(of) > 0
    assert report(of).tensors == ()
    (warning,) = report(of).warnings
    assert sentence in warning
    assert IDENTICAL not in warning
    run = RunSettings("a b", raw=True)
    assert warning in of.header(run, of.prompt(run)).every_warning


def test_noise_by_which_a_router_also_decides_what_to_leave_out_is_a_difference(tmp_path):
    sizes: dict[str, Any] = {"vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads: dict[str, Any] = {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    }
    model = spread(PhimoeForCausalLM(PhimoeConfig(**sizes, **heads, max_position_embeddings=64)))
    for folder, noise in ((tmp_path / "dense", 0.01), (tmp_path / "made", 0.5)):
        model.config.router_jitter_noise = noise
        save(folder, model, TOKENIZER)
    (warning,) = report(pair(tmp_path / "dense", tmp_path / "made")).warnings
    assert "router_jitter_noise is 0.5 instead of 0.01" in warning


@pytest.mark.parametrize(
    "config",
    [
        {"attention_dropout": 0.3},
        {"initializer_range": 0.5},
        {"use_cache": False},
        {"bos_token_id": 7, "pad_token_id": 9},
        {"torch_dtype": "bfloat16"},
        {"max_position_embeddings": 300},
        {"drop_attn_list": [], "drop_mlp_list": None},
        {"imagined": False, "imagined_too": None, "imagined_as_well": []},
        {"_name_or_path": "somewhere/else", "architectures": ["LlamaModel"]},
        {"rms_norm_eps": float(np.float32(1e-6))},
    ],
    ids=str,
)
def test_settings_that_change_nothing_are_no_difference(config, tmp_path):
    of = pair(configured(tmp_path / "dense"), configured(tmp_path / "made", **config))
    assert kl_sum(of) == 0
    (warning,) = report(of).warnings
    assert warning.startswith(IDENTICAL)


@pytest.mark.parametrize("value", [[1.0, 0.1], 1e300, 0.1])
def test_numbers_are_held_against_each_other_as_float32(value, tmp_path):
    dense = configured(tmp_path / "dense", imagined=value)
    rounded = [float(np.float32(0.1)) if one == 0.1 else one for one in (value if isinstance(value, list) else [value])]
    same = rounded if isinstance(value, list) else rounded[0]
    assert report(pair(dense, configured(tmp_path / "same", imagined=same))).warnings[0].startswith(IDENTICAL)
    other = [1.0, 0.1001] if isinstance(value, list) else value * 1.001
    (warning,) = report(pair(dense, configured(tmp_path / "other", imagined=other))).warnings
    assert "imagined is" in warning


def test_what_is_not_known_to_change_nothing_is_a_difference(tmp_path):
    of = pair(configured(tmp_path / "dense"), configured(tmp_path / "made", imagined_setting=3))
    assert "imagined_setting is 3 instead of absent" in report(of).warnings[0]


def test_many_differences_are_counted(tmp_path):
    more: dict[str, Any] = {f"imagined_{number}": number for number in range(1, 8)}
    of = pair(configured(tmp_path / "dense"), configured(tmp_path / "made", **more))
    ending = "imagined_5 is 5 instead of absent; and 2 more. The figures include the effect of this."
    assert report(of).warnings[0].endswith(ending)


# Tensors of either side -----------------------------------------------------------------------------------------


def test_norms_that_another_architecture_would_not_read_are_missed(tmp_path):
    """Read as llama, qwen3 loses its norms of query and key."""
    dense = configured(tmp_path / "dense", "qwen3")
    made = configured(tmp_path / "made", "qwen3", model_type="llama", architectures=["LlamaForCausalLM"])
    of = pair(dense, made)
    assert kl_sum(of) > 0
    told = of.every_warning
    assert any("hold 6 tensors such as model.layers.0.self_attn.k_norm.weight" in warning for warning in told)
    assert any("LlamaForCausalLM instead of Qwen3ForCausalLM" in warning for warning in told)
    assert not any(IDENTICAL in warning for warning in told)
    assert any("It lacks 6 of the dense model's tensors" in note for note in of.every_note)


def test_a_dense_model_with_a_head_of_its_own_is_not_its_tied_copy(tmp_path):
    dense = configured(tmp_path / "dense", settings={"tie_word_embeddings": False})
    held = load_file(dense / "model.safetensors")
    assert not torch.equal(held["lm_head.weight"], held["model.embed_tokens.weight"])
    made = configured(tmp_path / "made", settings={"tie_word_embeddings": False}, tie_word_embeddings=True)
    del held["lm_head.weight"]
    save_file(held, made / "model.safetensors", metadata={"format": "pt"})
    of = pair(dense, made)
    assert kl_sum(of) > 0
    assert [tensor.name for tensor in report(of).tensors] == ["lm_head.weight"]
    assert report(of).warnings == ()


def test_a_checkpoint_that_says_tied_and_brings_a_head_of_its_own_is_read_with_it(tmp_path):
    dense = configured(tmp_path / "dense", settings={"tie_word_embeddings": True})
    head = tiny("llama", seed=5, vocab_size=SIZE, tie_word_embeddings=False).lm_head.weight
    made = configured(tmp_path / "made", settings={"tie_word_embeddings": True})
    held = load_file(made / "model.safetensors") | {"lm_head.weight": head.clone()}
    save_file(held, made / "model.safetensors", metadata={"format": "pt"})
    of = pair(dense, made)
    assert torch.equal(of.pruned.model.lm_head.weight, head)
    assert torch.equal(of.pruned.model.model.embed_tokens.weight, of.dense.model.model.embed_tokens.weight)
    assert kl_sum(of) > 0
    assert [tensor.name for tensor in report(of).tensors] == ["lm_head.weight"]
    assert of.every_warning == ()


def test_no_layers_at_all_are_not_the_dense_model(tmp_path):
    dense, made = configured(tmp_path / "dense"), tmp_path / "made"
    save(made, tiny("llama", vocab_size=SIZE, num_hidden_layers=0), TOKENIZER)
    held = load_file(dense / "model.safetensors")
    rest = {name: value for name, value in held.items() if "layers" not in name}
    save_file(rest, made / "model.safetensors", metadata={"format": "pt"})
    of = pair(dense, made)
    assert kl_sum(of) > 0
    assert report(of).shape == "0 of 3 layers"
    assert report(of).warnings == ()


def test_heads_that_were_taken_out_with_their_width_kept_are_compared(tmp_path):
    """Half of the key/value groups, each head as wide as before: o_proj is no square any more."""
    dense = configured(tmp_path / "dense")
    whole = load_file(dense / "model.safetensors")
    thin: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    made = configured(tmp_path / "made", settings=thin)
    rows = {"q_proj": 16, "k_proj": 8, "v_proj": 8}
    cut = {}
    for name, value in whole.items():
        kind = name.split(".")[-2]
        cut[name] = (
            value[: rows[kind]].clone() if kind in rows else value[:, :16].clone() if kind == "o_proj" else value
        )
    save_file(cut, made / "model.safetensors", metadata={"format": "pt"})
    of = pair(dense, made)
    dense_model = load(str(dense)).model  # the same heads, silenced there, must give the same logits
    with torch.no_grad():
        for layer in dense_model.model.layers:
            layer.self_attn.o_proj.weight[:, 16:] = 0
    ids = torch.arange(5, 17)[None]
    assert torch.allclose(of.pruned.model(ids).logits, dense_model(ids).logits, atol=1e-5)
    assert kl_sum(of) > 0
    assert report(of).shape == "narrower"
    assert report(of).warnings == ()
    assert len(report(of).tensors) == 12
    assert any("q_proj.weight is 16 × 32 instead of 32 × 32" in note for note in report(of).notes)


# What is in neither ---------------------------------------------------------------------------------------------


def test_equal_weights_and_settings_that_answer_otherwise_are_not_called_the_dense_model(tmp_path):
    dense, other = load(str(configured(tmp_path / "dense"))), load(str(tmp_path / "dense"))
    found = measure_missing(with_named_drops(other, Work()), dense, Work())
    assert found.warnings[0].startswith(IDENTICAL)
    other.model.model.rotary_emb.inv_freq.mul_(0.5)  # kept in no file and named in no configuration
    found = measure_missing(with_named_drops(other, Work()), dense, Work())
    (warning,) = found.warnings
    assert "but the logits differ by up to" in warning


def test_layers_that_are_gone_take_their_entries_in_lists_with_them(tmp_path):
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    dense = configured(tmp_path / "dense", "gemma3", {"layer_types": kinds})
    here = load_pair(PairSpec(dense=str(dense), prune=parse("drop-block@layers=0")))
    folder = here.save(tmp_path / "made").folder
    assert report(pair(dense, folder)).warnings == ()
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "layer_types": ["full_attention"] * 2}))
    assert "layer_types is" in report(pair(dense, folder)).warnings[0]


def test_a_model_saved_here_computes_as_its_dense_model_does(tmp_path):
    for number, setting in enumerate(("magnitude:0.5", "drop-attn@layers=1", "drop-block@layers=1", "neurons:0.5")):
        dense = configured(tmp_path / f"dense{number}", "qwen2")
        folder = load_pair(PairSpec(dense=str(dense), prune=parse(setting))).save(tmp_path / f"made{number}").folder
        assert report(pair(dense, folder)).warnings == ()
