"""Which ids are tokens: models answer over more ids than their tokenizers name, to fill a round number of rows."""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerBase

_PADDING = re.compile(r"\[PAD\d+\]")
"""What GGUF files name the rows that fill up a vocabulary."""


def named_ids(*tokenizers: PreTrainedTokenizerBase) -> int:
    """The ids below this number are tokens; those from it on are padding, to which no tokenizer gives a name."""
    known = (
        token_id
        for tokenizer in tokenizers
        for name, token_id in tokenizer.get_vocab().items()
        if not _PADDING.fullmatch(name)
    )
    return max(known, default=-1) + 1
