"""Converts text to token ids and back: single tokens, and texts that grow token by token."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

_LONGEST_CHARACTER = 4
"""Bytes of the longest UTF-8 character, and so the most tokens of one character."""
_BYTE_OF = {character: byte for byte, character in bytes_to_unicode().items()}
"""Bytes by the printable characters that byte-level tokenizers write for them."""
_BYTE_NAME = re.compile(r"<0x[0-9A-Fa-f]{2}>")
"""The name of a one-byte token in sentencepiece."""


def token_ids_of(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool) -> list[int]:
    """The text's token ids; `special` adds the tokens that the tokenizer puts before and after a text."""
    encoded = tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
    return [int(token_id) for token_id in encoded]


class TokenDecoder:
    """Turns a tokenizer's ids into text: single tokens, and texts that grow."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}
        self._byte_level = _is_byte_level(tokenizer)
        self._before = token_ids_of(tokenizer, "a", special=False)[-1:]

    def piece(self, token_id: int) -> str:
        """The text of one token, with its leading space; bytes that are no character as "<0xF0>".

        An id that the tokenizer does not know (padding of the vocabulary) becomes "<49152>".
        """
        known = self._known.get(token_id)
        if known is None:
            raw = self.raw(token_id)
            # A tokenizer may remove the space at a text's beginning, so the token is decoded after another one.
            known = self.grown(self._before, token_id) if raw is None else raw.decode("utf-8", _NAMING)
            self._known[token_id] = known
        return known

    def stream(self, ids: Sequence[int] = ()) -> TextStream:
        """A stream that continues after these ids."""
        return TextStream(self, ids)

    def raw(self, token_id: int) -> bytes | None:
        """The token's bytes; None if it is made of characters and not of bytes."""
        name = self._name(token_id)
        if name is None:
            return f"<{token_id}>".encode()
        if _BYTE_NAME.fullmatch(name):
            return bytes([int(name[3:5], 16)])
        if not self._byte_level:
            return None
        if all(character in _BYTE_OF for character in name):
            return bytes(_BYTE_OF[character] for character in name)
        return name.encode()  # an added token, kept as it is written

    def grown(self, before: Sequence[int], token_id: int) -> str:
        """The text that one more token adds to the text of these ids, by decoding both."""
        old, new = _decode(self._tokenizer, before), _decode(self._tokenizer, [*before, token_id])
        same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        return new[same:]

    def _name(self, token_id: int) -> str | None:
        name = self._tokenizer.convert_ids_to_tokens(token_id) if token_id < len(self._tokenizer) else None
        return name if isinstance(name, str) else None


class TextStream:
    """Decodes a text token by token, from its beginning or after given ids.

    A character may need several tokens; the last of them adds it to the text.
    """

    def __init__(self, tokens: TokenDecoder, ids: Sequence[int]) -> None:
        self._tokens = tokens
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._recent: list[int] = []
        # UTF-8 is readable again after at most one character, so only the last few tokens matter.
        for token_id in ids[-_LONGEST_CHARACTER:]:
            self.push(token_id)

    def push(self, token_id: int) -> str:
        """The text that this token adds: "" while a character is incomplete, then the whole character.

        Bytes that can't become a character give U+FFFD.
        """
        raw = self._tokens.raw(token_id)
        if raw is None:
            text = self._utf8.decode(b"", final=True) + self._tokens.grown(self._recent, token_id)
        else:
            text = self._utf8.decode(raw)
        self._recent = [*self._recent, token_id][-_LONGEST_CHARACTER:]
        return text


def _name_bytes(problem: UnicodeError) -> tuple[str, int]:
    """Writes bytes that are no character as sentencepiece names them: "<0xF0>"."""
    if not isinstance(problem, UnicodeDecodeError):
        raise problem
    wrong = problem.object[problem.start : problem.end]
    return "".join(f"<0x{byte:02X}>" for byte in wrong), problem.end


_NAMING = "phier.name-bytes"
codecs.register_error(_NAMING, _name_bytes)


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    """True if token names spell the text byte for byte, tested on a text that no other kind of tokenizer gets right."""
    text = "aé 🙂"
    names = tokenizer.convert_ids_to_tokens(token_ids_of(tokenizer, text, special=False))
    characters = "".join(names)
    return bytes(_BYTE_OF.get(character, 0) for character in characters).endswith(text.encode())


def _decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
