"""Finds the tokens that two models have in common, or says why the models can't be compared.

Models pad their vocabularies, GGUF files name the padding, and fine-tuning adds tokens at the end or renames reserved
ones. None of these changes makes another tokenizer, because no ordinary text becomes such a token. Both distributions
are taken over the ids that are the same token in both models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from probes.models.loaded import Loaded
from probes.models.tokens import TokenDecoder
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_NAMED = 3
"""How many tokens a note names; it counts the others."""
_LONGEST = 40
"""How many characters of a token's name a sentence shows."""


@dataclass(frozen=True, slots=True)
class Common:
    """The tokens that both models of a pair have."""

    size: int
    """Both distributions are taken over the ids below this number."""
    foreign: frozenset[int] = frozenset()
    """Ids below `size` that are one token in the first tokenizer and another, or none, in the second."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)


def check_comparable(dense: Loaded, pruned: Loaded) -> Common:
    """The tokens that the two models are compared over. Raises `BadInput` unless their hidden states have one width and
    their tokenizers agree on all tokens that ordinary text becomes."""
    a, b = dense.info, pruned.info
    if a.hidden != b.hidden:
        raise BadInput(
            "Widths differ",
            f"The hidden states of {a.name} and {b.name} are {a.hidden:,} and {b.hidden:,} wide, so the angle "
            "between them is undefined.",
            "Choose a pruned model with the same hidden size; it may have fewer layers, heads or neurons.",
        )
    answered = min(a.vocabulary, b.vocabulary)
    ours, theirs = _Tokens(dense.tokenizer), _Tokens(pruned.tokenizer)
    differing = ours.differing(theirs)
    for token_id in sorted(ours.names.keys() | theirs.names.keys()):
        beyond = token_id >= answered
        if (beyond or token_id in differing) and (ours.is_text(token_id) or theirs.is_text(token_id)):
            raise _other_tokenizer(dense, pruned, ours, theirs, token_id, answered)
    same = ours.names.keys() - differing
    size = min(answered, 1 + max(same, default=-1))
    if size < 1:
        raise _other_tokenizer(dense, pruned, ours, theirs, 0, answered)
    foreign = frozenset(token_id for token_id in differing if token_id < size)
    notes = []
    if a.vocabulary != b.vocabulary:
        notes.append(
            f"{a.name} has logits for {a.vocabulary:,} tokens and {b.name} for {b.vocabulary:,}; "
            f"the first {size:,} are compared."
        )
    left_out = [token_id for token_id in sorted(differing) if token_id >= size]
    if left_out:
        notes.append(
            f"{_counted(left_out, ours, theirs)} in one tokenizer only: added tokens or padding. "
            "Both distributions leave them out."
        )
    warning = (
        f"{_counted(sorted(foreign), ours, theirs)} in one tokenizer only, between ids that both tokenizers have. "
        "Every figure includes them; a prompt that contains one is refused."
    )
    return Common(size, foreign, tuple(notes), (warning,) if foreign else ())


def _counted(ids: list[int], ours: _Tokens, theirs: _Tokens) -> str:
    names = [_quoted(ours.names.get(token_id) or theirs.names.get(token_id)) for token_id in ids[:_NAMED]]
    more = ", …" if len(ids) > _NAMED else ""
    return f"{len(ids):,} token{'s are' if len(ids) > 1 else ' is'} ({', '.join(names)}{more})"


def _other_tokenizer(
    dense: Loaded, pruned: Loaded, ours: _Tokens, theirs: _Tokens, token_id: int, answered: int
) -> BadInput:
    a, b = dense.info, pruned.info
    one, other = ours.names.get(token_id), theirs.names.get(token_id)
    what = f"token {token_id} is {_quoted(one)} in the first and {_quoted(other)} in the second"
    if one == other:
        narrow = a if a.vocabulary <= b.vocabulary else b
        what = f"{narrow.name} has only the first {answered:,}, so it lacks token {token_id}, {_quoted(one)}"
    return BadInput(
        "Vocabularies differ",
        f"{a.name} has {len(ours.names):,} tokens and {b.name} {len(theirs.names):,}; {what}.",
        "Only models with the same tokenizer can be compared token by token.",
    )


class _Tokens:
    """A tokenizer's tokens by id. It knows which of them ordinary text becomes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.names = {token_id: name for name, token_id in tokenizer.get_vocab().items()}

    def differing(self, other: _Tokens) -> set[int]:
        """Ids that are not the same token in both. Two ways of writing the same bytes are the same token."""
        if self._tokenizer is other._tokenizer:
            return set()
        ids = {
            token_id
            for token_id in self.names.keys() | other.names.keys()
            if self.names.get(token_id) != other.names.get(token_id)
        }
        if not ids:
            return ids
        ours, theirs = TokenDecoder(self._tokenizer), TokenDecoder(other._tokenizer)
        both = self.names.keys() & other.names.keys()
        return {i for i in ids if i not in both or None in (raw := (ours.raw(i), theirs.raw(i))) or raw[0] != raw[1]}

    def is_text(self, token_id: int) -> bool:
        """Can ordinary text become this token? Not if it was added to the vocabulary, or if no merge makes it."""
        if token_id not in self.names or token_id in self._added:
            return False
        return self._made is None or self._made(token_id)

    @cached_property
    def _added(self) -> set[int]:
        return set(self._tokenizer.added_tokens_decoder)

    @cached_property
    def _made(self) -> Callable[[int], bool] | None:
        """Tells whether merges make a token; None for other kinds of tokenizers, in which text can become every
        token."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        model = json.loads(backend.to_str())["model"] if backend is not None else {}
        if model.get("type") != "BPE" or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
            return None
        merged = {"".join(pair) for pair in _pairs(model["merges"])}
        whole_words = bool(model.get("ignore_merges"))

        def made(token_id: int) -> bool:
            name = self.names[token_id]
            if len(name) == 1 or name in merged or _is_byte(name):
                return True
            return whole_words and self._is_whole(token_id)

        return made

    def _is_whole(self, token_id: int) -> bool:
        """Does the tokenizer turn the token's text into this token without a merge?"""
        text = self._tokenizer.decode(token_id)
        return token_id in self._tokenizer(text, add_special_tokens=False)["input_ids"]


def _pairs(merges: Iterable[str | list[str]]) -> Iterable[list[str]]:
    """Merges as pairs; older files write a pair as one string with a space."""
    return (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)


def _is_byte(name: str) -> bool:
    return len(name) == 6 and name.startswith("<0x") and name.endswith(">")


def _quoted(token: str | None) -> str:
    return "absent" if token is None else f"“{visible(token, _LONGEST)}”"
