"""Tiny random causal language models of many architectures, built in milliseconds, and a tokenizer to go with them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto import AutoModelForCausalLM

VOCABULARY = 128
END = 0
"""The token id that ends a text in every tiny model."""

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": END,
    "eos_token_id": END,
    "pad_token_id": END,
}
_GROUPED: dict[str, Any] = {**_SIZES, "num_key_value_heads": 2}
_WINDOW = 8
"""Tokens a sliding-window layer looks back; short, so that tests pass it soon."""

_CONFIGS: dict[str, tuple[Callable[..., PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {**_GROUPED, "tie_word_embeddings": True}),
    "qwen2": (Qwen2Config, _GROUPED),
    "qwen3": (Qwen3Config, {**_GROUPED, "head_dim": 16}),
    "mistral": (MistralConfig, {**_GROUPED, "sliding_window": None}),
    "mistral-sliding": (MistralConfig, {**_GROUPED, "sliding_window": _WINDOW}),
    "gemma2": (Gemma2Config, {**_GROUPED, "head_dim": 8, "sliding_window": _WINDOW, "query_pre_attn_scalar": 8}),
    "gemma3": (
        Gemma3TextConfig,
        {
            **_GROUPED,
            "head_dim": 8,
            "sliding_window": _WINDOW,
            "query_pre_attn_scalar": 8,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        },
    ),
    "gpt2": (GPT2Config, {**_SIZES, "n_positions": 256}),
    "gpt_neox": (GPTNeoXConfig, _SIZES),
    "opt": (OPTConfig, {**_SIZES, "ffn_dim": 64, "word_embed_proj_dim": 32}),
    "phi": (PhiConfig, {**_SIZES, "partial_rotary_factor": 0.5}),
    "bloom": (BloomConfig, _SIZES),
    "falcon": (FalconConfig, _SIZES),
    "phi3": (Phi3Config, _GROUPED),
    "mixtral": (MixtralConfig, {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "olmo2": (Olmo2Config, _GROUPED),
    "granite": (GraniteConfig, {**_GROUPED, "residual_multiplier": 0.5, "logits_scaling": 4.0}),
    "cohere": (CohereConfig, {**_GROUPED, "logit_scale": 0.25}),
    "mamba": (MambaConfig, {**_SIZES, "state_size": 4, "time_step_rank": 4}),
}

ARCHITECTURES = (
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "mistral-sliding",
    "gemma2",
    "gemma3",
    "gpt2",
    "gpt_neox",
    "opt",
    "phi",
)
"""Architectures that the program promises to support."""

MORE = ("bloom", "falcon", "phi3", "mixtral", "olmo2", "mamba")
"""Architectures that it either supports or refuses with a sentence."""


def tiny(architecture: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random model in float32 and evaluation mode; `changes` are settings of its configuration.

    Weights are drawn a few times wider than a fresh model's, so that the distributions are far from uniform; biases
    and norm scales are random too, so that leaving one out shows.
    """
    config_class, settings = _CONFIGS[architecture]
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config_class(**{**settings, **changes}), dtype=torch.float32
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                _draw(name, parameter)
    finally:
        torch.random.set_rng_state(state)
    model.requires_grad_(False)
    model.generation_config.eos_token_id = model.config.eos_token_id
    model.eval()
    return model


def moved(model: Any, *to: torch.dtype | torch.device) -> PreTrainedModel:
    """The same model in another dtype or on another device. Transformers' `to` has a type that nothing fits."""
    there: PreTrainedModel = model.to(*to)
    return there


def _draw(name: str, parameter: torch.nn.Parameter) -> None:
    if name.endswith(("A_log", ".D", "dt_proj.bias")):
        return  # a state-space model's own scales: random ones make it blow up
    if parameter.dim() > 1:
        parameter.normal_(std=0.15)
    else:
        parameter.add_(torch.randn_like(parameter), alpha=0.1)


CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

_SPECIAL = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")


# Tokenizers are Any: transformers types what they give too widely to be used.


def byte_tokenizer(*, chat: bool = True, merges: tuple[str, ...] = ("Ġthe", "ing", "er")) -> Any:
    """A byte-level tokenizer made in memory: special tokens, 256 bytes, and a few longer pieces.

    A model that goes with it is `tiny(..., vocab_size=len(tokenizer))`.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate((*_SPECIAL, *alphabet))}
    rules: list[tuple[str, str]] = []
    for piece in merges:
        left = piece[0]
        for character in piece[1:]:
            rules.append((left, character))
            left += character
            vocabulary.setdefault(left, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=rules))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _wrapped(tokenizer, chat)


def wide_tokenizer(size: int) -> Any:
    """A byte-level tokenizer of about `size` tokens, most of which no text is ever made of."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fillers = (f"{a}{b}{c}" for a in alphabet[:64] for b in alphabet[:64] for c in alphabet[:64])
    names = dict.fromkeys((*_SPECIAL, *alphabet, *islice(fillers, size)))
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _wrapped(tokenizer, chat=False)


def metaspace_tokenizer(*, chat: bool = False, bos: bool = False) -> Any:
    """A tokenizer as sentencepiece's models have it: "▁" for a space, bytes as "<0x0A>" where nothing else fits."""
    pieces = ["▁", "▁the", "▁cat", "▁sat", "s", "at", "c", "t", "h", "e", "a", "!", "é", "▁é"]
    names = [*_SPECIAL, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    scores = [(name, -1.0 if name in pieces else -20.0) for name in names]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=names.index("<unk>"), byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    return _wrapped(tokenizer, chat, bos)


def save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None = None) -> Path:
    """Writes the model, and a tokenizer where one is given, as transformers would; returns the folder."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def _wrapped(tokenizer: Tokenizer, chat: bool, bos: bool = False) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL])
    if bos:
        first = _SPECIAL[0]
        tokenizer.post_processor = TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A $B", special_tokens=[(first, tokenizer.token_to_id(first))]
        )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=_SPECIAL[0], eos_token=_SPECIAL[0])
    if chat:
        wrapped.chat_template = CHAT_TEMPLATE
    return wrapped
