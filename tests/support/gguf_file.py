"""Writes a tiny Llama and its tokenizer as the GGUF file that llama.cpp would make of them, and converts such a file
without a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter, TokenType
from transformers import PreTrainedModel
from transformers import modeling_gguf_pytorch_utils as mapping

from probes.models.gguf_convert import convert
from probes.system import subprocesses
from probes.system.progress import Work
from tests.support.tiny import CHAT_TEMPLATE, byte_tokenizer

_IN_BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def write_gguf(
    path: Path, model: PreTrainedModel, *, without: str = "", more: Mapping[str, np.ndarray] | None = None
) -> Path:
    """`model` is a tiny Llama over `byte_tokenizer`; its weights are written unquantised, as float32.

    If its vocabulary is larger than the tokenizer's, the file names the ids beyond, as unused padding.
    `without` is a tensor that is left out, and `more` are tensors that it has besides.
    """
    config = model.config
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, config.vocab_size)
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    for block in range(config.num_hidden_layers):
        for ours, theirs in _IN_BLOCK.items():
            weight = weights[f"model.layers.{block}.{theirs}.weight"]
            if f"blk.{block}.{ours}.weight" == without:
                continue
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(ours)
            writer.add_tensor(f"blk.{block}.{ours}.weight", _interleaved(weight, heads) if heads else weight)
    for name, values in (more or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def convert_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converts in this process from now on: a process of its own takes seconds to import transformers."""

    def run(command: Sequence[str], work: Work, task: str, **_: Any) -> subprocesses.Ended:
        source, folder, dtype = command[-3:]
        work.report(task)
        with monkeypatch.context() as own:
            own.setattr(mapping, "get_gguf_hf_weights_map", mapping.get_gguf_hf_weights_map)  # put back afterwards
            try:
                convert(Path(source), Path(folder), getattr(torch, dtype))
            except SystemExit as end:
                return subprocesses.Ended(1, str(end.code))
        return subprocesses.Ended(0, "")

    monkeypatch.setattr(subprocesses, "run", run)


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """A rotated pair lies side by side in a GGUF's rows, and half a head apart in transformers'."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape).copy()


def _add_tokenizer(writer: GGUFWriter, size: int) -> None:
    tokenizer = byte_tokenizer()
    special = tokenizer.added_tokens_decoder
    writer.add_tokenizer_model("gpt2")
    padding = range(len(tokenizer), size)
    writer.add_token_list([*tokenizer.convert_ids_to_tokens(range(len(tokenizer))), *(f"[PAD{i}]" for i in padding)])
    named = [TokenType.CONTROL if i in special else TokenType.NORMAL for i in range(len(tokenizer))]
    writer.add_token_types([int(kind) for kind in (*named, *(TokenType.UNUSED for _ in padding))])
    writer.add_token_merges(["Ġ t", "Ġt h", "Ġth e", "i n", "in g", "e r"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template(CHAT_TEMPLATE)
