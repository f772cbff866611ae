"""Models whose figures would be wrong are refused, and all others are read as transformers reads them at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertLMHeadModel,
    JambaConfig,
    JambaForCausalLM,
    RobertaConfig,
    RobertaForCausalLM,
    StableLmConfig,
    StableLmForCausalLM,
)

from probes.schema.errors import BadInput
from probes.stepping.cache_check import TESTED, check_steppable
from probes.stepping.cached_model import CachedModel
from tests.support.steppable import loaded, spread
from tests.support.tiny import ARCHITECTURES, MORE, tiny

SIZES: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 900,
    "pad_token_id": 1,
}
JAMBA: dict[str, Any] = {
    "num_key_value_heads": 2,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "use_mamba_kernels": False,
}


def test_what_is_not_tried_out_is_what_other_tests_step() -> None:
    assert {tiny(name).config.model_type for name in (*ARCHITECTURES, *MORE)} == TESTED


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_architectures_that_are_known_would_pass(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.stepping.cache_check.TESTED", frozenset())
    check_steppable(loaded(tiny(architecture)))


@pytest.mark.parametrize(
    "model",
    [
        lambda: StableLmForCausalLM(StableLmConfig(**SIZES, num_key_value_heads=4)),
        lambda: JambaForCausalLM(JambaConfig(**SIZES, **JAMBA)),
        lambda: BertLMHeadModel(BertConfig(**SIZES, is_decoder=True)),
    ],
    ids=["stablelm", "jamba", "bert as a decoder"],
)
def test_others_that_are_read_rightly_are_let_through(model) -> None:
    check_steppable(loaded(spread(model())))


@pytest.mark.parametrize(
    "model",
    [lambda: BertLMHeadModel(BertConfig(**SIZES)), lambda: RobertaForCausalLM(RobertaConfig(**SIZES, is_decoder=True))],
    ids=["sees tokens to come", "counts positions from elsewhere"],
)
def test_models_that_would_be_read_wrongly_are_refused(model) -> None:
    with pytest.raises(
        BadInput, match=r"^Can't be stepped: m is a .*cached decoding gives other logits than a full forward pass"
    ):
        check_steppable(loaded(spread(model())))


def test_a_model_that_fails_is_refused_with_what_it_says() -> None:
    model = spread(StableLmForCausalLM(StableLmConfig(**SIZES, num_key_value_heads=4)))

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("a cache of its own is needed\nand more")

    model.model.layers[1].register_forward_pre_hook(refuse)
    with pytest.raises(BadInput, match=r"failed: a cache of its own is needed and more\. "):
        check_steppable(loaded(model))


@pytest.mark.parametrize("name", ["mamba", "jamba"])
def test_a_recurrent_model_is_read_as_at_once_however_its_context_came(name: str) -> None:
    model = tiny("mamba") if name == "mamba" else spread(JambaForCausalLM(JambaConfig(**SIZES, **JAMBA)))
    ids = torch.randint(2, 128, (700,), generator=torch.Generator().manual_seed(1)).tolist()
    track = CachedModel(model)

    def check(*contexts: list[int]) -> None:
        answer = track.read(contexts)
        for row, context in enumerate(contexts):
            with torch.inference_mode():
                expected = model(input_ids=torch.tensor([context])).logits[0, -1]
            # What went wrong before, a state that was left out of account, is a hundred times as much.
            assert float((answer.logits[row] - expected).abs().max()) < 1e-5 * float(expected.abs().max())

    check(ids)  # more than a piece of the prefill
    check(ids[:20])
    check(ids[:21])
    check(ids[:30])  # several tokens further
    check([*ids[:30], 5], [*ids[:30], 9])  # two rows out of one
    check([*ids[:30], 5, 6], [*ids[:30], 9, 7])
    check([*ids[:20], 3], [*ids[:20], 4])  # two others
    check(ids[:25])
