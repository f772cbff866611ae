"""A token is found by the text that tables show, whatever the tokenizer."""

from __future__ import annotations

import pytest

from probes.models.token_named import token_named, watched_ids
from probes.models.tokens import TokenDecoder
from probes.schema.errors import BadInput
from probes.schema.watch import parse_watch
from tests.support.tiny import byte_tokenizer, metaspace_tokenizer

TOKENIZERS = [byte_tokenizer(), metaspace_tokenizer(), metaspace_tokenizer(chat=True, bos=True)]
each = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["bytes", "pieces", "pieces with bos"])


@each
def test_every_token_is_found_by_its_text(tokenizer):
    """Two tokens may have one text, such as a character and its byte: then either is right."""
    tokens = TokenDecoder(tokenizer)
    for token in range(len(tokenizer)):
        text = tokens.piece(token)
        assert tokens.piece(token_named(tokenizer, text)) == text


@each
def test_a_text_of_several_tokens_is_refused_with_its_tokens(tokenizer):
    with pytest.raises(BadInput, match="Not one token") as problem:
        token_named(tokenizer, "xyzzy the")
    assert "tokens: “" in problem.value.message


@each
def test_groups_have_the_ids_of_their_tokens(tokenizer):
    the = tokenizer.convert_tokens_to_ids("Ġthe" if tokenizer is TOKENIZERS[0] else "▁the")
    a, b = watched_ids(tokenizer, parse_watch(f'" the", #{the} | x=#3'))
    assert (a.label, a.ids, b.label, b.ids) == (" the", (the,), "x", (3,))
    with pytest.raises(BadInput, match="both have the token"):
        watched_ids(tokenizer, parse_watch(f'" the" | x=#{the}'))
