"""In a model with towers for pictures or sound, the layers are those that text runs through, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from probes.checkpoints.foreign import ForeignModel
from probes.checkpoints.missing import measure_missing
from probes.models.loaded import Loaded
from probes.prune.apply import apply
from probes.schema.errors import BadInput
from probes.schema.header import ModelInfo
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.system.progress import Work
from probes.twin.anatomy import dissect
from probes.twin.measure import measure_removed
from probes.twin.twin import Twin
from tests.support.tiny import byte_tokenizer

_TEXT: dict[str, Any] = {
    **{"vocab_size": 128, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
    **{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0},
}
_PICTURES: dict[str, Any] = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 12, "num_attention_heads": 4},
    **{"image_size": 16, "patch_size": 4},
}


def built(kind: str, **settings: Any) -> PreTrainedModel:
    """A random model of a transformers class; its configuration has the class's name with Config at the end."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind.removesuffix('ForConditionalGeneration')}Config")(**settings)
    model: PreTrainedModel = getattr(transformers, kind)(config).float().eval()
    return model.requires_grad_(False)


def gemma3() -> PreTrainedModel:
    text = {**_TEXT, "head_dim": 8, "sliding_window": 8}
    return built(
        "Gemma3ForConditionalGeneration", text_config=text, vision_config=_PICTURES, mm_tokens_per_image=4,
        image_token_index=100, boi_token_index=101, eoi_token_index=102,
    )  # fmt: skip


def llava() -> PreTrainedModel:
    text = {**_TEXT, "model_type": "llama"}
    vision = {**_PICTURES, "model_type": "clip_vision_model"}
    return built("LlavaForConditionalGeneration", text_config=text, vision_config=vision, image_token_index=100)


def paligemma() -> PreTrainedModel:
    text = {**_TEXT, "model_type": "gemma", "head_dim": 8}
    vision = {**_PICTURES, "model_type": "siglip_vision_model", "projection_dim": 32}
    return built(
        "PaliGemmaForConditionalGeneration", text_config=text, vision_config=vision, image_token_index=100,
        projection_dim=32,
    )  # fmt: skip


def qwen2_vl() -> PreTrainedModel:
    text = {**_TEXT, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}
    vision = {"depth": 12, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "patch_size": 4}
    return built("Qwen2VLForConditionalGeneration", text_config=text, vision_config=vision)


def idefics3() -> PreTrainedModel:
    text = {**_TEXT, "model_type": "llama"}
    return built("Idefics3ForConditionalGeneration", text_config=text, vision_config=_PICTURES, image_token_id=100)


WITH_TOWERS = [gemma3, llava, paligemma, qwen2_vl, idefics3]


def mllama() -> PreTrainedModel:
    """Layers 1 and 3 read pictures, so that text goes past them."""
    text = {
        **_TEXT,
        "num_hidden_layers": 4,
        "cross_attention_layers": [1, 3],
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    }
    vision = {**_PICTURES, "attention_heads": 4, "vision_output_dim": 64, "intermediate_layers_indices": [1]}
    return built("MllamaForConditionalGeneration", text_config=text, vision_config={**vision, "num_global_layers": 1})


def loaded(model: PreTrainedModel) -> Loaded:
    info = ModelInfo("tiny", "tiny", "", "", type(model).__name__, 2, 32, 128, 0, "float32", "cpu")
    return Loaded(model, byte_tokenizer(), info)


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[5, 17, 99, 3]]), use_cache=False).logits


@pytest.mark.parametrize("make", WITH_TOWERS, ids=lambda make: make.__name__)
def test_the_layers_are_those_of_the_text(make: Callable[[], PreTrainedModel]) -> None:
    anatomy = dissect(make())
    assert len(anatomy.blocks) == 2
    assert not any("vision" in name or "visual" in name for block in anatomy.blocks for name in (block.name,))
    assert len(anatomy.matrices) == 14
    assert any("vis" in path for path in anatomy.aside)
    assert "nothing there is pruned" in anatomy.notes[0]


@pytest.mark.parametrize("make", WITH_TOWERS, ids=lambda make: make.__name__)
def test_half_of_the_text_is_pruned_and_nothing_of_the_tower(make: Callable[[], PreTrainedModel]) -> None:
    dense = loaded(make())
    twin = Twin(dense.model)
    report = apply(twin, parse("magnitude:0.5"), dense)
    assert report.targeted == sum(twin.dense_weight(m.name).numel() for m in twin.anatomy.matrices)
    assert report.zeroed == report.targeted // 2
    assert not torch.equal(logits(twin.model), logits(dense.model))
    theirs = dict(dense.model.named_parameters())
    touched = {name for name, p in twin.model.named_parameters() if p.data_ptr() != theirs[name].data_ptr()}
    assert touched == {f"{matrix.name}.weight" for matrix in twin.anatomy.matrices}
    assert any("does not run through" in note for note in report.notes)
    twin.restore()
    twin.drop(Part("attn", 0), Part("mlp", 1))
    assert twin.dropped_parameters < report.targeted


def test_layers_that_only_pictures_reach_are_no_layers_of_the_text() -> None:
    dense = loaded(mllama())
    twin = Twin(dense.model)
    assert [block.layer for block in twin.anatomy.blocks] == [0, 2]
    assert {f"model.language_model.layers.{layer}" for layer in (1, 3)} < set(twin.anatomy.aside)
    apply(twin, parse("magnitude:0.5+drop-mlp@layers=2"), dense)
    assert {matrix.layer for matrix in measure_removed(twin).matrices} == {0, 2}
    assert twin.droppable("block") == (Part("block", 0), Part("block", 2))
    with pytest.raises(BadInput, match="Text does not run through layer 1"):
        twin.drop(Part("block", 1))
    with pytest.raises(BadInput, match=r"names layer 1,.*Layers in use: 0,2"):
        apply(twin, parse("magnitude:0.5@layers=1"), dense)


@pytest.mark.parametrize("make", [gemma3, mllama], ids=lambda make: make.__name__)
def test_towers_of_a_second_model_are_neither_counted_nor_compared(make: Callable[[], PreTrainedModel]) -> None:
    dense, second = loaded(make()), loaded(make())
    tower = next(name for name, _ in second.model.named_parameters() if "vision" in name and name.endswith("weight"))
    second.model.get_parameter(tower).zero_()
    matrix = dissect(second.model).matrices[-1]
    second.model.get_submodule(matrix.name).weight[:, ::2] = 0
    report = measure_missing(ForeignModel(second, second), dense, Work())
    assert [tensor.name for tensor in report.tensors] == [f"{matrix.name}.weight"]
    assert report.zeroed == second.model.get_submodule(matrix.name).weight.numel() // 2
    assert {one.layer for one in report.matrices} == {block.layer for block in dissect(dense.model).blocks}
    assert any("does not run through" in note for note in report.notes)
