"""Ids become the text that people see, whatever the tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.models.prompting import chat_end_ids, read_prompt
from probes.models.tokens import TokenDecoder
from probes.schema.settings import RunSettings
from tests.support.tiny import byte_tokenizer, metaspace_tokenizer

BYTES = byte_tokenizer()
PIECES = metaspace_tokenizer()
PIECES_WITH_BOS = metaspace_tokenizer(chat=True, bos=True)
EMOJI = "🙂"


def ids_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def grown(tokenizer, ids, before=()) -> str:
    stream = TokenDecoder(tokenizer).stream(before)
    return "".join(stream.push(token_id) for token_id in ids)


# Single tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES, PIECES_WITH_BOS], ids=["bytes", "pieces", "pieces with bos"])
def test_a_piece_keeps_the_space_it_begins_with(tokenizer):
    name = "Ġthe" if tokenizer is BYTES else "▁the"
    token = tokenizer.convert_tokens_to_ids(name)
    assert TokenDecoder(tokenizer).piece(token) == " the"


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_a_byte_that_is_no_character_is_named(tokenizer):
    text = TokenDecoder(tokenizer)
    assert [text.piece(token) for token in ids_of(tokenizer, EMOJI)[-4:]] == ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>"]


def test_a_byte_that_is_a_character_is_that_character():
    assert TokenDecoder(PIECES).piece(PIECES.convert_tokens_to_ids("<0x0A>")) == "\n"


def test_special_tokens_are_shown_as_they_are_written():
    for tokenizer in (BYTES, PIECES):
        assert TokenDecoder(tokenizer).piece(tokenizer.convert_tokens_to_ids("<|end|>")) == "<|end|>"


def test_an_id_beyond_the_tokenizer_is_shown_as_a_number():
    assert TokenDecoder(BYTES).piece(5000) == "<5000>"
    assert grown(BYTES, [*ids_of(BYTES, "a"), 5000, *ids_of(BYTES, "b")]) == "a<5000>b"


# Growing texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_a_character_spread_over_tokens_comes_with_the_last_of_them(tokenizer):
    stream = TokenDecoder(tokenizer).stream(ids_of(tokenizer, "a"))
    assert [stream.push(token) for token in ids_of(tokenizer, EMOJI)[-4:]] == ["", "", "", EMOJI]


@given(st.text(max_size=30))
def test_tokens_one_by_one_give_the_text_back(text):
    assert grown(BYTES, ids_of(BYTES, text)) == text


@given(st.text(alphabet="the cats!é🙂\n", max_size=30).map(lambda text: "the" + text))
def test_pieces_one_by_one_give_the_text_back(text):
    before = ids_of(PIECES, "cat")
    assert grown(PIECES, ids_of(PIECES, text), before) == " " + text


@given(st.lists(st.integers(0, len(BYTES) - 1), max_size=40))
def test_any_tokens_one_by_one_are_what_decoding_them_all_gives(ids):
    # Only a character that is still incomplete is missing: whole decoding puts U+FFFD there.
    whole = BYTES.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    text = grown(BYTES, ids)
    assert whole in (text, text + "\ufffd")


@given(st.data())
def test_a_stream_made_anew_goes_on_as_the_one_before_it(data):
    tokenizer = data.draw(st.sampled_from([BYTES, PIECES]))
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) + 3), min_size=1, max_size=30))
    cut = data.draw(st.integers(0, len(ids)))
    tokens = TokenDecoder(tokenizer)
    going_on = tokens.stream()
    for token in ids[:cut]:
        going_on.push(token)
    anew = tokens.stream(ids[:cut])
    assert [anew.push(token) for token in ids[cut:]] == [going_on.push(token) for token in ids[cut:]]


def test_bytes_that_never_become_a_character_do_not_hold_up_the_text():
    lead = ids_of(BYTES, EMOJI)[0]
    assert grown(BYTES, [lead, lead, *ids_of(BYTES, "ok")]) == "\ufffd\ufffdok"
    lead = ids_of(PIECES, EMOJI)[-4]
    assert grown(PIECES, [lead, PIECES.convert_tokens_to_ids("at")]) == "\ufffdat"


@pytest.mark.demo
def test_the_demo_tokenizer_reads_and_writes(demo):
    text = f"Natalia sold 48 clips {EMOJI} in April,\n\tthen half as many … naïvely"
    assert grown(demo.tokenizer, ids_of(demo.tokenizer, text)) == text
    prompt = read_prompt(demo.tokenizer, RunSettings("Hello"))
    assert prompt.text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert demo.tokenizer.decode(prompt.ids) == prompt.text
    assert chat_end_ids(demo.tokenizer, RunSettings("Hello")) == {demo.tokenizer.convert_tokens_to_ids("<|im_end|>")}
