"""Tells tokens from padding: models have logits for more ids than their tokenizers name, to get a round number of
rows."""

from __future__ import annotations

import re
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase

_PADDING = re.compile(r"\[PAD\d+\]")
"""The name of a padding row in GGUF files."""
_LAST_NAMED: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, int]] = WeakKeyDictionary()
"""The size of a tokenizer and the last id that it names: listing a vocabulary takes a tenth of a second."""


def named_ids(*tokenizers: PreTrainedTokenizerBase) -> int:
    """The number of ids up to the last one that a tokenizer names; all later ids are padding."""
    return max((_last_named(tokenizer) for tokenizer in dict.fromkeys(tokenizers)), default=-1) + 1


def _last_named(tokenizer: PreTrainedTokenizerBase) -> int:
    """The last id that a tokenizer names; -1 if it names none."""
    size = len(tokenizer)
    known = _LAST_NAMED.get(tokenizer)
    if known is None or known[0] != size:
        vocabulary = tokenizer.get_vocab()
        for name in [name for name in vocabulary if name.startswith("[PAD") and _PADDING.fullmatch(name)]:
            del vocabulary[name]
        found = max(vocabulary.values(), default=-1)
        _LAST_NAMED[tokenizer] = known = size, found
    return known[1]
