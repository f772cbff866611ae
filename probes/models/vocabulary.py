"""Tells tokens from padding: models have logits for more ids than their tokenizers name, to get a round number of
rows."""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerBase

_PADDING = re.compile(r"\[PAD\d+\]")
"""The name of a padding row in GGUF files."""


def named_ids(*tokenizers: PreTrainedTokenizerBase) -> int:
    """The number of ids up to the last one that a tokenizer names; all later ids are padding."""
    known = (
        token_id
        for tokenizer in tokenizers
        for name, token_id in tokenizer.get_vocab().items()
        if not _PADDING.fullmatch(name)
    )
    return max(known, default=-1) + 1
