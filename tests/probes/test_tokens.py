"""Text becomes the ids that models really read, and ids become the text that people see, whatever the tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.errors import BadInput
from probes.settings import Follow, RunSettings
from probes.tokens import TokenText, chat_end_ids, prompt_ids, text_ids
from tests.tiny import byte_tokenizer, metaspace_tokenizer

BYTES = byte_tokenizer()
PIECES = metaspace_tokenizer()
PIECES_WITH_BOS = metaspace_tokenizer(chat=True, bos=True)
EMOJI = "🙂"


def ids_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def grown(tokenizer, ids, before=()) -> str:
    stream = TokenText(tokenizer).stream(before)
    return "".join(stream.push(token_id) for token_id in ids)


# Prompts ------------------------------------------------------------------------------------------------------


def test_a_prompt_goes_into_the_chat_template_as_a_users_turn():
    text, ids = prompt_ids(BYTES, RunSettings("the cat"))
    assert text == "<|user|>the cat<|end|><|assistant|>"
    assert BYTES.decode(ids) == text
    assert ids[0] == BYTES.convert_tokens_to_ids("<|user|>")


def test_a_raw_prompt_is_read_as_it_is():
    text, ids = prompt_ids(BYTES, RunSettings("the cat", raw=True))
    assert text == "the cat"
    assert BYTES.decode(ids) == "the cat"


def test_without_a_chat_template_a_prompt_is_raw():
    plain = byte_tokenizer(chat=False)
    assert prompt_ids(plain, RunSettings("the cat")) == prompt_ids(plain, RunSettings("the cat", raw=True))


@pytest.mark.parametrize("prompt", ["the cat", "<|endoftext|>the cat"])
def test_a_raw_prompt_begins_with_one_beginning_and_not_two(prompt):
    text, ids = prompt_ids(PIECES_WITH_BOS, RunSettings(prompt, raw=True))
    assert ids.count(PIECES_WITH_BOS.bos_token_id) == 1
    assert ids[0] == PIECES_WITH_BOS.bos_token_id
    assert text == "<|endoftext|>the cat"


def test_a_chat_prompt_gets_no_beginning_beside_the_templates_own():
    text, ids = prompt_ids(PIECES_WITH_BOS, RunSettings("the cat"))
    assert text.startswith("<|user|>")
    assert ids[0] == PIECES_WITH_BOS.convert_tokens_to_ids("<|user|>")


@pytest.mark.parametrize("settings", [RunSettings(""), RunSettings(" \n"), RunSettings("", raw=True)])
def test_an_empty_prompt_is_refused(settings):
    with pytest.raises(BadInput, match="Empty prompt"):
        prompt_ids(BYTES, settings)


def test_a_template_that_refuses_the_prompt_says_so_and_offers_raw():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('a system turn comes first') }}"
    with pytest.raises(BadInput, match=r"a system turn comes first.*--raw"):
        prompt_ids(tokenizer, RunSettings("the cat"))


def test_a_text_to_score_continues_the_prompt_and_is_not_a_text_of_its_own():
    settings = RunSettings("the", raw=True, follow=Follow.TEXT, text=" cat sat")
    assert text_ids(PIECES, settings) == PIECES.convert_tokens_to_ids(["▁cat", "▁sat"])


def test_a_text_that_would_change_the_prompts_last_token_is_tokenised_alone():
    settings = RunSettings("eat", raw=True, follow=Follow.TEXT, text="ing")
    merged = byte_tokenizer(merges=("ting",))
    assert merged.decode(text_ids(merged, settings)) == "ing"
    assert text_ids(merged, settings) == ids_of(merged, "ing")


# Ends ---------------------------------------------------------------------------------------------------------


def test_what_the_chat_template_puts_after_an_answer_ends_it():
    assert chat_end_ids(BYTES) == {BYTES.convert_tokens_to_ids("<|end|>")}


def test_a_template_that_marks_no_end_names_none():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    assert chat_end_ids(tokenizer) == frozenset()


# Single tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES, PIECES_WITH_BOS], ids=["bytes", "pieces", "pieces with bos"])
def test_a_piece_keeps_the_space_it_begins_with(tokenizer):
    name = "Ġthe" if tokenizer is BYTES else "▁the"
    token = tokenizer.convert_tokens_to_ids(name)
    assert TokenText(tokenizer).piece(token) == " the"


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_a_byte_that_is_no_character_is_named(tokenizer):
    text = TokenText(tokenizer)
    assert [text.piece(token) for token in ids_of(tokenizer, EMOJI)[-4:]] == ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>"]


def test_a_byte_that_is_a_character_is_that_character():
    assert TokenText(PIECES).piece(PIECES.convert_tokens_to_ids("<0x0A>")) == "\n"


def test_special_tokens_are_shown_as_they_are_written():
    for tokenizer in (BYTES, PIECES):
        assert TokenText(tokenizer).piece(tokenizer.convert_tokens_to_ids("<|end|>")) == "<|end|>"


def test_an_id_beyond_the_tokenizer_is_shown_as_a_number():
    assert TokenText(BYTES).piece(5000) == "<5000>"
    assert grown(BYTES, [*ids_of(BYTES, "a"), 5000, *ids_of(BYTES, "b")]) == "a<5000>b"


# Growing texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_a_character_spread_over_tokens_comes_with_the_last_of_them(tokenizer):
    stream = TokenText(tokenizer).stream(ids_of(tokenizer, "a"))
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
    tokens = TokenText(tokenizer)
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
    prompt, ids = prompt_ids(demo.tokenizer, RunSettings("Hello"))
    assert prompt.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert demo.tokenizer.decode(ids) == prompt
    assert chat_end_ids(demo.tokenizer) == {demo.tokenizer.convert_tokens_to_ids("<|im_end|>")}
