"""Tiny random models whose layers are not all alike: state-space mixers beside attention, experts beside an MLP."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.models.auto import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from probes.models.loaded import Loaded
from probes.schema.header import ModelInfo
from tests.support.tiny import byte_tokenizer

_SIZES: dict[str, Any] = {
    **{"vocab_size": 128, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256},
    **{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0},
}
_MAMBA: dict[str, Any] = {
    **{"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_heads": 8, "mamba_d_head": 8},
    "mamba_n_groups": 1,
}
_LINEAR: dict[str, Any] = {
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LOCAL: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
_SHARED: dict[str, Any] = {**_EXPERTS, "shared_expert_intermediate_size": 16, "decoder_sparse_step": 2}
_ROUTED: dict[str, Any] = {"n_routed_experts": 4, "moe_intermediate_size": 16, "num_experts_per_tok": 2}

_SETTINGS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3], **_MAMBA},
    "nemotron_h": {
        **{"hybrid_override_pattern": "M-*-M*", "num_hidden_layers": 6, "mamba_num_heads": 8, "mamba_head_dim": 8},
        **{"n_groups": 1, "ssm_state_size": 8, "head_dim": 8, "chunk_size": 16},
    },
    "qwen3_next": {"head_dim": 16, **_LINEAR, **_SHARED},
    "qwen3_5_text": {"head_dim": 16, **_LINEAR},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"] * 2, "shared_intermediate_size": 32, **_LOCAL, **_MAMBA,
    },
    "jamba": {
        **{"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
        **{"num_experts": 4, "mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
    },
    "olmo_hybrid": {"layer_types": ["linear_attention", "full_attention"] * 2, **_LINEAR},
    "falcon_h1": {"head_dim": 8, "mamba_d_ssm": 64, **_MAMBA},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "phimoe": _LOCAL,
    "mixtral": _LOCAL,
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": _SHARED,
    "qwen3_moe": {"head_dim": 8, **_EXPERTS, "decoder_sparse_step": 2},
    "llama4_text": {
        **{"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 1, "intermediate_size_mlp": 48},
        "interleave_moe_layer_step": 2,
    },
    "mimo_v2_flash": {"head_dim": 16, "v_head_dim": 8, "sliding_window": 8, **_ROUTED},
    "deepseek_v4": {
        **{"head_dim": 16, "q_lora_rank": 16, "o_lora_rank": 16, "o_groups": 2, "qk_rope_head_dim": 8},
        **{"index_n_heads": 2, "index_head_dim": 8, "sliding_window": 8}, **_ROUTED,
    },
    "bert": {"is_decoder": True},
    "roberta": {"is_decoder": True},
    "gemma4_text": {
        **{"head_dim": 8, "global_head_dim": 8, "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 2},
        **{"vocab_size_per_layer_input": 128, "sliding_window": 8},
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
}  # fmt: skip

HYBRIDS = (
    *("bamba", "nemotron_h", "qwen3_next", "qwen3_5_text", "granitemoehybrid", "jamba", "olmo_hybrid"),
    *("falcon_h1", "lfm2"),
)
MIXTURES = ("phimoe", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "llama4_text", "mimo_v2_flash")


def mixed(architecture: str, **changes: Any) -> PreTrainedModel:
    """A random model in float32 and evaluation mode; `changes` are settings of its configuration."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[architecture](**{**_SIZES, **_SETTINGS[architecture], **changes})
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("A_log", ".D", "dt_proj.bias", "dt_bias")) or not parameter.is_floating_point():
                continue  # a state-space model's own scales: random ones make it blow up
            if parameter.dim() > 1:
                parameter.normal_(std=0.15)
            else:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.requires_grad_(False).eval()


def loaded(model: PreTrainedModel) -> Loaded:
    info = ModelInfo("tiny", "tiny", "", "", type(model).__name__, 4, 32, 128, 0, "float32", "cpu")
    return Loaded(model, byte_tokenizer(merges=()), info)
