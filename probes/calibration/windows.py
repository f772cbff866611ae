"""Cuts texts into calibration samples of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from probes.schema.errors import BadInput

_PIECE = 1 << 20
"""The most characters that are tokenised at once."""


def windows(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    number: int,
    length: int,
    seed: int | None,
    *,
    fewer: bool = False,
) -> Tensor:
    """(number, length) token ids of the texts, joined with the end-of-text token between them.

    Without a seed, the windows are consecutive from the beginning. With a seed, they start at random, no two at the
    same token. With `fewer`, a short text gives fewer windows, at least one. Raises `BadInput` if it is too short for
    that.
    """
    need = None if seed is not None else number * length
    ids = _tokens(texts, tokenizer, need)
    most = max(0, len(ids) - length + 1) if seed is not None else len(ids) // length
    if most < (1 if fewer else number):
        raise BadInput(
            "Calibration text is short",
            f"It has {len(ids):,} tokens, which give {most:,} windows of {length}; {number:,} are needed.",
            "Give a longer text, or fewer or shorter samples (--samples, --length).",
        )
    number = min(number, most)
    if seed is None:
        return torch.from_numpy(ids[: number * length].reshape(number, length))
    starts = np.random.default_rng(seed).choice(most, size=number, replace=False)
    return torch.from_numpy(np.stack([ids[start : start + length] for start in starts]))


def _tokens(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, need: int | None) -> np.ndarray:
    """The first `need` token ids of the texts, or all of them."""
    found: list[np.ndarray] = []
    total = 0
    end = tokenizer.eos_token_id
    for text in texts:
        for piece in _pieces(text):
            encoded = tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"]
            found.append(np.asarray(encoded, dtype=np.int64))
            total += len(encoded)
            if need is not None and total >= need:
                return np.concatenate(found)[:need]
        if isinstance(end, int):
            found.append(np.asarray([end], dtype=np.int64))
            total += 1
    return np.concatenate(found)[:-1] if found and isinstance(end, int) else np.concatenate([*found, np.zeros(0, int)])


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end before a line break, because tokenizers begin a new word there anyway."""
    while len(text) > _PIECE:
        cut = text.rfind("\n", 1, _PIECE)
        cut = cut if cut > 0 else _PIECE
        yield text[:cut]
        text = text[cut:]
    yield text
