"""Two hashes of a model: one of its weights, one of the settings that it computes with."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.models.offloaded import is_readable, tensor_of

_THREADS = 4
_OF_NO_EFFECT = frozenset(
    (
        *("_name_or_path", "name_or_path", "transformers_version", "architectures", "auto_map", "dtype", "torch_dtype"),
        *(
            "use_cache",
            "return_dict",
            "output_hidden_states",
            "output_attentions",
            "output_router_logits",
            "torchscript",
        ),
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id", "decoder_start_token_id"),
        *("tokenizer_class", "prefix", "task_specific_params", "id2label", "label2id", "num_labels", "problem_type"),
        *("tie_word_embeddings", "gradient_checkpointing", "router_aux_loss_coef", "init_std"),
        *("quantization_config", "compression_config", "sparsity_config", "drop_attn_list", "drop_mlp_list"),
        *("pretraining_tp", "chunk_size_feed_forward", "summary_type", "summary_use_proj", "summary_activation"),
        *("summary_proj_to_labels", "finetuning_task", "pruned_heads", "use_bfloat16", "num_nextn_predict_layers"),
    )
)
"""Keys of a configuration that do not change the computation: they are about files, training or other tasks, or repeat
what the weights and drops show. Every other key counts as changing it, even if this program does not know it."""
_OF_TRAINING = re.compile(r"dropout|_pdrop$|^layerdrop$|^initializer_")


def fingerprint(model: PreTrainedModel) -> str:
    """SHA-256, hex, over the names, shapes, dtypes and bytes of all weights, sorted by name; tied weights once.

    The device and the order of the weights in memory do not change it; one bit of one weight does. Weights that a
    device map keeps elsewhere are read a few at a time; if that is impossible, it is "". Half a gigabyte takes well
    under a second.
    """
    weights = _distinct(model)
    if not all(is_readable(model, name, weight) for name, weight in weights.items()):
        return ""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="fingerprint") as pool:
        digests = pool.map(lambda name: _digest(tensor_of(model, name, weights[name])), weights)
        whole = hashlib.sha256()
        for (name, weight), digest in zip(weights.items(), digests, strict=True):
            whole.update(f"{name} {tuple(weight.shape)} {weight.dtype} {digest}\n".encode())
    return whole.hexdigest()


def configuration(model: PreTrainedModel) -> str:
    """SHA-256, hex, over the settings that the model computes with: equal weights with another activation, window or
    rotary angles are another model."""
    return hashlib.sha256(json.dumps(settings(model), sort_keys=True, default=str).encode()).hexdigest()


def settings(model: PreTrainedModel) -> dict[str, Any]:
    """The settings that the model computes with, by name. For a model with a picture tower, those of its text part."""
    config = model.config.get_text_config(decoder=True)
    return {
        name: value
        for name, value in config.to_dict().items()
        if name not in _OF_NO_EFFECT and not _OF_TRAINING.search(name)
    }


def _distinct(model: PreTrainedModel) -> dict[str, Tensor]:
    """Parameters and saved buffers by name, sorted. If several share their memory, only the first name is included."""
    seen: set[tuple[object, ...]] = set()
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    weights: dict[str, Tensor] = {}
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, Tensor):
            continue
        place: tuple[object, ...] = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.is_meta:
            place = (tied.get(name, name),)
        if tensor.numel() == 0 or place not in seen:
            seen.add(place)
            weights[name] = tensor
    return weights


def _digest(weight: Tensor) -> str:
    flat = weight.detach().contiguous().cpu().reshape(-1).view(torch.uint8)
    return hashlib.sha256(flat.numpy().data).hexdigest()
