"""A wrong config.json is told as one, with the field and its value; what is no causal language model, as what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from probes.models.loaded import load
from probes.schema.errors import BadInput
from probes.schema.spec import LoadOptions
from probes.stepping.cache_check import check_steppable
from tests.support.tiny import byte_tokenizer, save, tiny

TOKENIZER = byte_tokenizer()
SIZE = len(TOKENIZER)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "m", tiny("llama", vocab_size=SIZE), TOKENIZER)


def edit(folder: Path, name: str = "config.json", **changes: Any) -> Path:
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


def refused(folder: Path, **options: Any) -> str:
    with pytest.raises(BadInput) as caught:
        load(str(folder), LoadOptions(**options))
    return str(caught.value)


def outcome(folder: Path) -> str:
    """The sentence of a refusal; "" if it loads. Anything else that is raised fails the test."""
    try:
        load(str(folder))
    except BadInput as problem:
        return str(problem)
    return ""


# Wrong numbers and types --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": "3"}, ["'num_hidden_layers'", "expected int", "'3'"]),
        ({"num_attention_heads": 5}, ["32", "5"]),
        ({"num_attention_heads": 0}, ["num_attention_heads: 0"]),
        ({"layer_types": ["full_attention"] * 7}, ["layer_types", "7", "3"]),
        ({"model_type": ["llama"]}, ["config.json"]),
        ({"dtype": [1, 2]}, ["config.json"]),
        ({"hidden_act": "swishy"}, ["swishy"]),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_never_told_as_a_broken_tokenizer(folder, changes, words):
    told = refused(edit(folder, **changes))
    assert "okenizer" not in told
    assert "config.json" in told or "Model not loaded" in told
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    "changes", [{"vocab_size": 0}, {"head_dim": 0}, {"num_key_value_heads": 0}, {"vocab_size": -1}]
)
def test_a_size_below_one_is_named_whatever_fails_because_of_it(folder, changes):
    ((key, value),) = changes.items()
    assert f"{key}: {value}" in refused(edit(folder, **changes))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 3_000_000_000),
        ("num_hidden_layers", 10**30),
        ("n_layer", 10**9),
        ("num_experts", 10**9),
        ("vocab_size", 10**12),
        ("num_attention_heads", 10**10),
        ("intermediate_size", 10**4000),
    ],
    ids=lambda value: f"{value:.1e}" if isinstance(value, int) and value < 10**300 else str(value)[:20],
)
def test_a_number_that_the_files_cannot_fill_is_refused_before_anything_is_built(folder, key, value, monkeypatch):
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *_, **__: pytest.fail("it was built"))
    for found in ({key: value}, {"text_config": {key: value}}):
        told = refused(edit(folder, **found))
        assert f"{key}: {str(value)[:30]}" in told
        assert "config.json" in told
        assert len(told) < 500


def test_a_configuration_of_more_layers_than_a_pickle_has_room_for_is_refused(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "num_hidden_layers: 50000000" in refused(edit(folder, num_hidden_layers=50_000_000), allow_pickle=True)


@pytest.mark.parametrize("found", [{"model_type": "llama"}, {"hidden_size": 100_000}], ids=["defaults", "product"])
def test_a_model_that_the_files_cannot_fill_is_refused_before_chance_fills_it(folder, found, monkeypatch):
    name = "transformers.models.auto.AutoModelForCausalLM.from_pretrained"
    monkeypatch.setattr(name, lambda *_, **__: pytest.fail("it was filled"))
    kept = {} if "model_type" in found else json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**kept, **found}))
    told = refused(folder)
    size = (folder / "model.safetensors").stat().st_size
    assert "config.json describes a model of" in told
    assert f"{size:,} bytes" in told


@pytest.mark.parametrize("listed", [[[1]], [{}], ["0"], [1e9], "0", {"0": True}], ids=str)
def test_a_list_of_drops_that_names_no_layer_by_number_names_none(folder, listed):
    assert not outcome(edit(folder, drop_attn_list=listed, drop_mlp_list=listed))


@pytest.mark.parametrize("depth", [200, 900, 100_000])
def test_a_deeply_nested_configuration_is_a_sentence(folder, depth):
    text = (folder / "config.json").read_text().rstrip().removesuffix("}")
    for key, value in (("extra", "[" * depth + "]" * depth), ("rope_parameters", '{"a":' * depth + "1" + "}" * depth)):
        (folder / "config.json").write_text(f'{text}, "{key}": {value}}}')
        told = outcome(folder)
        assert "config.json" in told or "Model not loaded" in told or (not told and depth < 1000)


def test_tensors_of_another_shape_are_named_with_both_shapes(folder):
    told = refused(edit(folder, intermediate_size=48))
    assert "model.layers.0.mlp.down_proj.weight is 32 × 64 in the files of m" in told
    assert "config.json makes it 32 × 48" in told


# Kinds of models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bart", "architectures": ["BartForConditionalGeneration"]}, "an encoder-decoder (Bart"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "an encoder-decoder (T5"),
        ({"model_type": "t5gemma"}, "an encoder-decoder (t5gemma"),
        ({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}, "a speech model (Whisper"),
        ({"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"]}, "a speech model (Wav2Vec2"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "an encoder (BertForMaskedLM)"),
        ({"model_type": "bert", "architectures": ["BertModel"]}, "an encoder (BertModel)"),
        ({"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]}, "an encoder (ModernBert"),
        (
            {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]},
            "a sequence classifier (LlamaFor",
        ),
        ({"model_type": "llama", "architectures": ["LlamaForTokenClassification"]}, "a token classifier (LlamaFor"),
        ({"model_type": "llama", "architectures": ["LlamaForQuestionAnswering"]}, "finds answers"),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, "an image classifier"),
        ({"model_type": "clip", "architectures": ["CLIPModel"]}, "a CLIPModel, which transformers does not know"),
    ],
    ids=lambda value: str(value.get("architectures", value)) if isinstance(value, dict) else "",
)
def test_what_is_no_causal_language_model_is_told_what_it_is(folder, changes, words):
    (folder / "config.json").write_text(json.dumps(changes))
    told = refused(folder)
    assert told.startswith("Not a language model: m is ")
    assert words in told
    assert "etch" not in told


def test_an_embedding_model_is_told_as_one(folder):
    (folder / "modules.json").write_text("[]")
    assert "m is an embedding model (LlamaForCausalLM)" in refused(folder)


def test_a_base_model_without_its_head_is_told_as_one(tmp_path):
    folder = save(tmp_path / "base", tiny("llama", vocab_size=SIZE, tie_word_embeddings=False), TOKENIZER)
    weights = {name: w for name, w in load_file(folder / "model.safetensors").items() if "lm_head" not in name}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    told = refused(edit(folder, architectures=["LlamaModel"]))
    assert "base's files hold no LM head (lm_head.weight)" in told
    assert "embedding or base model" in told


def test_a_decoder_of_a_kind_that_is_usually_an_encoder_goes_on_to_its_weights(folder):
    told = refused(edit(folder, model_type="bert", architectures=["BertLMHeadModel"], is_decoder=True))
    assert "Weights" in told


def test_no_value_of_any_field_is_a_traceback_a_hang_or_a_raw_byte(tmp_path):
    folder = save(tmp_path / "m", tiny("llama", vocab_size=SIZE, num_hidden_layers=1), TOKENIZER)
    config = json.loads((folder / "config.json").read_text())
    places = [(key,) for key in config] + [("rope_parameters", key) for key in config["rope_parameters"]]
    for place in places:
        for value in (None, "\x1b]0;evil\x07\x9b", 0, -1, 10**12, [[1]]):
            changed = json.loads(json.dumps(config))
            inner = changed[place[0]] if len(place) > 1 else changed
            inner[place[-1]] = value
            (folder / "config.json").write_text(json.dumps(changed))
            told = outcome(folder)
            assert told.isprintable(), (place, value)
            assert "okenizer" not in told, (place, value)


# Weights that are none ----------------------------------------------------------------------------------------


def pickled(folder: Path, held: object) -> Path:
    (folder / "model.safetensors").unlink(missing_ok=True)
    torch.save(held, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_of_a_whole_object_is_a_sentence(folder):
    told = refused(pickled(folder, torch.nn.Linear(2, 2)), allow_pickle=True)
    assert "pytorch_model.bin: it holds objects other than tensors" in told
    assert "Traceback" not in told


def test_an_empty_pickle_is_a_sentence(folder):
    (pickled(folder, {}) / "pytorch_model.bin").write_bytes(b"")
    assert "pytorch_model.bin is empty" in refused(folder, allow_pickle=True)


@pytest.mark.parametrize("held", [[1, 2], {"a": 1}, 3, {"\x1b]0;evil\x07": torch.zeros(2)}])
def test_a_pickle_of_anything_else_is_a_sentence_too(folder, held):
    assert "\x1b" not in refused(pickled(folder, held), allow_pickle=True)


def test_a_tokenizer_of_a_type_that_is_not_known_is_a_sentence(folder):
    file = folder / "tokenizer.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps({**found, "model": {**found["model"], "type": "BPE2"}}))
    assert "The tokenizer in" in refused(folder)
    file.write_text("[" * 100_000)
    assert "The tokenizer in" in refused(folder)


@pytest.mark.parametrize(
    "index",
    [
        [],
        {"weight_map": []},
        {"weight_map": {}},
        {"weight_map": {"a": 1}},
        {"weight_map": {"a": "."}},
        {"weight_map": {"a": "x" * 400}},
        {"weight_map": {"a": "\x1b]0;evil\x07\x00"}},
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_index_of_anything_is_a_sentence(folder, index):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    told = refused(folder)
    assert told.startswith(("Broken index", "Weights missing", "No weights"))
    assert "\x1b" not in told


def test_a_configuration_that_does_not_fit_its_weights_is_found_in_the_first_pass(tmp_path):
    model = tiny("mixtral", vocab_size=SIZE, num_local_experts=1, num_experts_per_tok=1)
    folder = edit(save(tmp_path / "one", model, TOKENIZER), num_experts_per_tok=2)
    with pytest.raises(BadInput, match=r"one is a MixtralForCausalLM.*failed: selected index k out of range"):
        check_steppable(load(str(folder)))
