"""Sorts the tokens of a text by kind: numbers, beginnings and continuations of words, punctuation, and others."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from probes.models.tokens import TokenDecoder

KINDS = ("number", "word start", "word continuation", "punctuation", "special", "whitespace", "part of a character")
_NUMBER, _START, _CONTINUATION, _PUNCTUATION, _SPECIAL, _SPACE, _BYTES = range(len(KINDS))


class TokenKinds:
    """The kinds of a tokenizer's tokens; each token is looked at once.

    By the characters of the token without spaces around them: a number if the first is a digit; a word if it is a
    letter or a mark, else punctuation and symbols. A word starts if the token begins with a space, or if the token
    before it does not end with a letter, a mark or a digit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._special = frozenset(tokenizer.all_special_ids)
        self._added = tokenizer.added_tokens_decoder
        self._tokens = TokenDecoder(tokenizer)
        self._known: dict[int, tuple[int, bool, bool]] = {}

    def of(self, ids: Sequence[int], first: int) -> np.ndarray:
        """The numbers, in `KINDS`, of the tokens from `first` on."""
        found = []
        for before, token in zip(ids[first - 1 :], ids[first:], strict=False):
            kind, spaced, _ = self._look(token)
            if kind == _CONTINUATION and (spaced or not self._look(before)[2]):
                kind = _START
            found.append(kind)
        return np.array(found, dtype=np.int64)

    def _look(self, token: int) -> tuple[int, bool, bool]:
        """The kind, with every word a continuation; does it begin with a space; does it end within a word?"""
        if token not in self._known:
            self._known[token] = self._classify(token)
        return self._known[token]

    def _classify(self, token: int) -> tuple[int, bool, bool]:
        added = self._added.get(token)
        if token in self._special or (added is not None and added.special):
            return _SPECIAL, False, False
        raw = self._tokens.raw(token)
        try:
            text = self._tokens.piece(token) if raw is None else raw.decode()
        except UnicodeDecodeError:
            return _BYTES, False, True
        bare = text.strip()
        if not bare:
            return _SPACE, True, False
        ends_inside = text[-1].isalnum() or _is_mark(text[-1])
        kind = _NUMBER if bare[0].isdigit() else _CONTINUATION if bare[0].isalpha() or _is_mark(bare[0]) else None
        return _PUNCTUATION if kind is None else kind, text[0].isspace(), ends_inside


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
