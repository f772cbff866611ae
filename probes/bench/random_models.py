"""Random models of any size, made on their device, and the numbers that stand for their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SPREAD = 0.4
"""The standard deviation of the weights of a narrow model, with which its distributions are far from uniform."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a model; the MLP and the groups of heads are in proportion to its width."""

    width: int
    depth: int
    vocabulary: int
    longest: int = 512
    """Tokens that it can read."""
    head: int = 0
    """The width of a head of attention; 0 for an eighth of the model's, but at most 64."""

    @property
    def heads(self) -> int:
        return max(1, self.width // (self.head or min(64, max(8, self.width // 8))))


def random_model(
    shape: Shape,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    spread: float | None = None,
) -> LlamaForCausalLM:
    """A Llama of this shape with weights drawn on the device, so that no checkpoint is read or moved.

    The standard deviation of the weights is `spread`, or one that keeps the states of any width alike.
    """
    heads = shape.heads
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=3 * shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 4) if heads % 4 == 0 else heads,
        max_position_embeddings=shape.longest,
        initializer_range=SPREAD * (32 / shape.width) ** 0.5 if spread is None else spread,
        tie_word_embeddings=True,
    )
    place = torch.device(device)
    before = torch.get_default_dtype()
    with torch.random.fork_rng([place] if place.type == "cuda" else []), place:
        torch.manual_seed(seed)
        torch.set_default_dtype(dtype)
        try:
            model = LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(before)
    model.requires_grad_(False).eval()
    return model


class Numbers:
    """The tokens of a model without a tokenizer: token 7 is "7 "."""

    def piece(self, token_id: int) -> str:
        return f"{token_id} "

    def stream(self, ids: Sequence[int]) -> Numbers:  # noqa: ARG002 - a number's text does not depend on the ones before
        return self

    def push(self, token_id: int) -> str:
        return self.piece(token_id)
