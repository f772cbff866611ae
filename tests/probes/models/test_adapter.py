"""An adapter in a model's folder is named, and never changes what the weights are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers.integrations import peft as hooks
from transformers.models.auto import auto_factory

from probes.models.loaded import load
from probes.pair import load_pair
from probes.schema.errors import BadInput
from probes.schema.spec import LoadOptions, PairSpec
from tests.support.prune_models import TOKENIZER, logits
from tests.support.tiny import save, tiny

SIZE = len(TOKENIZER)
MODEL = tiny("llama", vocab_size=SIZE)
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "owner/base",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["q_proj"],
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=[False, True], ids=["without peft", "with peft"])
def _peft(request, monkeypatch):
    """As transformers sees it; the package itself would only be needed to put an adapter on."""
    for module in (auto_factory, hooks):
        monkeypatch.setattr(module, "is_peft_available", lambda: request.param)


def with_adapter(folder: Path, *, weights: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    tensors = {}
    for layer in range(3):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors |= {f"{name}.lora_A.weight": torch.ones(2, 32), f"{name}.lora_B.weight": torch.ones(32, 2)}
    if weights:
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.usefixtures("_peft")
@pytest.mark.parametrize("weights", [True, False], ids=["whole", "its configuration alone"])
def test_an_adapter_beside_whole_weights_is_named_and_left_off_whether_peft_is_there_or_not(weights, tmp_path):
    folder = with_adapter(save(tmp_path / "made", MODEL, TOKENIZER), weights=weights)
    loaded = load(str(folder))
    assert torch.equal(logits(loaded.model), logits(MODEL))
    assert loaded.warnings == (
        "made's folder also holds an adapter of owner/base (adapter_config.json). It is not applied: "
        "the figures are those of the weights alone.",
    )
    assert loaded.files == (folder / "model.safetensors",)


@pytest.mark.usefixtures("_peft")
@pytest.mark.parametrize("config", [True, False], ids=["with config.json", "alone"])
def test_an_adapter_alone_is_refused_naming_its_base(config, tmp_path):
    folder = with_adapter(tmp_path / "made")
    if config:
        MODEL.config.save_pretrained(folder)
    dense = save(tmp_path / "dense", MODEL, TOKENIZER)
    with pytest.raises(BadInput, match=r"made is an adapter of owner/base and has no weights.*Merge it"):
        load_pair(PairSpec(dense=str(dense), pruned=str(folder)))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"base_model_name_or_path": null}'])
def test_an_adapter_that_does_not_say_of_what_is_still_called_one(text, tmp_path):
    folder = with_adapter(tmp_path / "made")
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(BadInput, match="made is an adapter of another model"):
        load(str(folder))


def test_a_trainers_state_is_no_weights(tmp_path):
    folder = with_adapter(tmp_path / "made")
    torch.save({}, folder / "training_args.bin")
    with pytest.raises(BadInput, match="made is an adapter"):
        load(str(folder), LoadOptions(allow_pickle=True))
