"""What the models read before the first step: the whole prompt, once, in a template that can take it, or as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probes.models.prompting import DATE_NOTE, chat_end_ids, read_prompt, recorded_prompt
from probes.schema.errors import BadInput
from probes.schema.header import ModelInfo, RunHeader
from probes.schema.settings import Follow, RunSettings
from tests.support.tiny import CHAT_TEMPLATE, byte_tokenizer, metaspace_tokenizer

BYTES = byte_tokenizer()
PIECES = metaspace_tokenizer()
PIECES_WITH_BOS = metaspace_tokenizer(chat=True, bos=True)
CAT = RunSettings("the cat")
INFO = ModelInfo("tiny", "tiny", "", "", "Tiny", 3, 32, 128, 1000, "float32", "cpu")
BODY = "{% for part in message['content'] %}"
"""How a template for lists of parts walks over a turn; of a text it takes each character for a part."""


def template(content: str, *, before: str = "") -> str:
    return (
        before
        + "{% for message in messages %}<|{{ message['role'] }}|>"
        + content
        + "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )


def with_template(source: object):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = source
    return tokenizer


def ids_of(tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def scored(text: str, prompt: str = "", **changes: Any) -> RunSettings:
    return RunSettings(prompt, follow=Follow.TEXT, text=text, **changes)


# Prompts ------------------------------------------------------------------------------------------------------


def test_a_prompt_goes_into_the_chat_template_as_a_users_turn():
    prompt = read_prompt(BYTES, CAT)
    assert prompt.text == "<|user|>the cat<|end|><|assistant|>"
    assert BYTES.decode(prompt.ids) == prompt.text
    assert prompt.ids[0] == BYTES.convert_tokens_to_ids("<|user|>")
    assert prompt.notes == ()


def test_a_raw_prompt_is_read_as_it_is():
    prompt = read_prompt(BYTES, replace(CAT, raw=True))
    assert prompt.text == "the cat"
    assert BYTES.decode(prompt.ids) == "the cat"


def test_without_a_chat_template_a_prompt_is_raw():
    plain = byte_tokenizer(chat=False)
    assert read_prompt(plain, CAT) == read_prompt(plain, replace(CAT, raw=True))


@pytest.mark.parametrize("prompt", ["the cat", "<|endoftext|>the cat"])
def test_a_raw_prompt_begins_with_one_beginning_and_not_two(prompt):
    read = read_prompt(PIECES_WITH_BOS, RunSettings(prompt, raw=True))
    assert read.ids.count(PIECES_WITH_BOS.bos_token_id) == 1
    assert read.ids[0] == PIECES_WITH_BOS.bos_token_id
    assert read.text == "<|endoftext|>the cat"


def test_a_chat_prompt_gets_no_beginning_beside_the_templates_own():
    prompt = read_prompt(PIECES_WITH_BOS, CAT)
    assert prompt.text.startswith("<|user|>")
    assert prompt.ids[0] == PIECES_WITH_BOS.convert_tokens_to_ids("<|user|>")


@pytest.mark.parametrize("settings", [RunSettings(""), RunSettings(" \n"), RunSettings("", raw=True)])
def test_an_empty_prompt_is_refused(settings):
    with pytest.raises(BadInput, match="Empty prompt"):
        read_prompt(BYTES, settings)


# Templates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        BODY + "{{ part['text'] }}{% endfor %}",
        BODY + "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}",
        "{{ message['content'] | map(attribute='text') | join }}",
        "{{ message['content'][0]['text'] + '' }}",
        "{% if message['content'] is string %}{{ raise_exception('parts') }}{% endif %}"
        "{{ message['content'][0]['text'] }}",
    ],
)
@pytest.mark.parametrize("prompt", ["the cat", "user", "9", "???"])
def test_a_template_for_lists_of_parts_gets_them(content, prompt):
    tokenizer = with_template(template(content))
    assert read_prompt(tokenizer, RunSettings(prompt)).text == f"<|user|>{prompt}<|end|><|assistant|>"
    assert chat_end_ids(tokenizer, CAT) == {tokenizer.convert_tokens_to_ids("<|end|>")}


@pytest.mark.parametrize(
    "content",
    ["", "{{ message['text'] }}", "the", "{{ message['content'][:20] }}", "{{ message['content'][1:] | tojson }}"],
)
def test_a_template_that_drops_the_prompt_or_a_part_of_it_is_refused(content):
    with pytest.raises(BadInput, match=r"drops the prompt.*--raw"):
        read_prompt(with_template(template(content)), RunSettings("the cat sat on the mat and slept"))


@pytest.mark.parametrize(
    "content",
    [
        "{{ message['content'] | trim }}",
        "{{ message['content'] | tojson }}",
        "{{ message['content'] | e }}",
        "{{ message['content'] | upper }}",
    ],
)
def test_a_template_may_trim_or_escape_the_prompt(content):
    settings = RunSettings(' "the"\n cat & Ünal\'s <mat> \n')
    assert "NAL" in read_prompt(with_template(template(content)), settings).text.upper()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ raise_exception('a system turn comes first') }}", "a system turn comes first"),
        ("{{ messages | length + 'a' }}", "unsupported operand"),
        ("{{ 1 / (messages | length - messages | length) }}", "division by zero"),
        ("{{ messages[7].content.x.y }}", "has no element 7"),
        ("{% if %}", "Expected an expression"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ [].pop() }}", "pop"),
    ],
)
def test_a_template_that_fails_says_so_in_a_sentence_and_a_raw_prompt_does_not_meet_it(source, words):
    tokenizer = with_template(source)
    with pytest.raises(BadInput, match=f"{words}.*--raw"):
        read_prompt(tokenizer, CAT)
    assert read_prompt(tokenizer, replace(CAT, raw=True)).ids == ids_of(tokenizer, "the cat")
    assert chat_end_ids(tokenizer, CAT) == frozenset()


def test_a_raw_run_never_renders_a_template(monkeypatch):
    tokenizer = byte_tokenizer()
    monkeypatch.setattr(type(tokenizer), "apply_chat_template", lambda *_args, **_named: 1 / 0)
    raw = replace(CAT, raw=True)
    assert read_prompt(tokenizer, raw).text == "the cat"
    assert chat_end_ids(tokenizer, raw) == frozenset()


NAMED = {"short": CHAT_TEMPLATE, "tool use": CHAT_TEMPLATE.replace("assistant", "system")}


def test_the_default_of_several_named_templates_is_used():
    tokenizer = with_template({**NAMED, "default": CHAT_TEMPLATE})
    assert read_prompt(tokenizer, CAT).text == read_prompt(BYTES, CAT).text
    assert chat_end_ids(tokenizer, CAT) == chat_end_ids(BYTES, CAT)


def test_one_of_several_named_templates_is_chosen_by_name():
    tokenizer = with_template(NAMED)
    assert read_prompt(tokenizer, replace(CAT, chat_template="short")).text.endswith("<|assistant|>")
    assert read_prompt(tokenizer, replace(CAT, chat_template="tool use")).text.endswith("<|system|>")


@pytest.mark.parametrize(
    ("templates", "asked", "words"),
    [
        (NAMED, "", r"no default: short, tool use\. .*--chat-template"),
        (NAMED, "long", r"no chat template 'long'. .*short, tool use"),
        (CHAT_TEMPLATE, "long", r"no chat template 'long'. .*default"),
        (None, "short", "has no chat templates"),
    ],
)
def test_a_template_that_is_not_named_or_not_there_is_refused_with_the_names(templates, asked, words):
    tokenizer = with_template(templates)
    with pytest.raises(BadInput, match=words):
        read_prompt(tokenizer, replace(CAT, chat_template=asked))
    assert read_prompt(tokenizer, replace(CAT, raw=True)).text == "the cat"
    assert chat_end_ids(tokenizer, replace(CAT, chat_template=asked)) == frozenset()


def test_a_template_with_the_date_is_noted():
    tokenizer = with_template(template("{{ message['content'] }}", before="{{ strftime_now('%Y-%m-%d') }}"))
    assert read_prompt(tokenizer, CAT).notes == (DATE_NOTE,)
    assert read_prompt(tokenizer, replace(CAT, raw=True)).notes == ()


# Recorded prompts ---------------------------------------------------------------------------------------------


def recorded(tokenizer, settings: RunSettings) -> RunHeader:
    was = read_prompt(tokenizer, settings)
    return RunHeader(INFO, INFO, None, settings, was.text, was.ids, text_ids=was.text_ids)


@pytest.mark.parametrize("settings", [CAT, scored(" ring", "the cat")])
def test_the_recorded_tokens_are_read_on_another_day(settings):
    header = recorded(with_template(template("{{ message['content'] }}", before="day 1")), settings)
    for other in (template("{{ message['content'] }}", before="day 2"), "{{ raise_exception('changed') }}"):
        read = recorded_prompt(with_template(other), header)
        assert (read.text, read.ids, read.text_ids) == (header.prompt_text, header.prompt_ids, header.text_ids)
        assert read.text.startswith("day 1")


@pytest.mark.parametrize(
    ("tokenizer", "settings"),
    [
        (PIECES_WITH_BOS, RunSettings("the cat", raw=True)),
        (PIECES, RunSettings("the cat", raw=True)),
        (PIECES, scored("the cat sat")),
        (BYTES, scored("the cat sat")),
        (BYTES, scored(" ring", "the cat", raw=True)),
    ],
)
def test_a_recorded_prompt_is_recognised_whatever_it_was_read_as(tokenizer, settings):
    header = recorded(tokenizer, settings)
    assert recorded_prompt(tokenizer, header) == read_prompt(tokenizer, settings)
    assert recorded_prompt(tokenizer, replace(header, text_ids=())) == read_prompt(tokenizer, settings)
    assert recorded_prompt(tokenizer, replace(header, prompt_ids=(), text_ids=())) == read_prompt(tokenizer, settings)


def test_a_prompt_that_this_tokenizer_reads_as_other_tokens_is_refused():
    header = recorded(BYTES, CAT)
    with pytest.raises(BadInput, match="Another prompt"):
        recorded_prompt(byte_tokenizer(merges=("cat",)), header)
    with pytest.raises(BadInput, match="Another prompt"):
        recorded_prompt(BYTES, replace(header, prompt_ids=header.prompt_ids[:-1]))


# Texts to score -----------------------------------------------------------------------------------------------


def test_a_text_to_score_continues_the_prompt_and_is_not_a_text_of_its_own():
    read = read_prompt(PIECES, scored(" cat sat", "the", raw=True))
    assert list(read.text_ids) == PIECES.convert_tokens_to_ids(["▁cat", "▁sat"])


def test_a_text_that_would_change_the_prompts_last_token_is_tokenised_alone():
    merged = byte_tokenizer(merges=("ting",))
    read = read_prompt(merged, scored("ing", "eat", raw=True))
    assert read.text_ids == ids_of(merged, "ing")


@pytest.mark.parametrize("raw", [True, False])
def test_a_text_without_a_prompt_is_scored_whole_after_what_begins_a_text(raw):
    for tokenizer in (BYTES, PIECES, PIECES_WITH_BOS):
        read = read_prompt(tokenizer, scored("the cat", raw=raw))
        assert read.ids == (tokenizer.bos_token_id,)
        assert read.text_ids == ids_of(tokenizer, "the cat")
        assert read.notes == ("There is no prompt: the text's first token is scored after “<|endoftext|>”.",)


def test_a_text_that_brings_its_beginning_has_it_once():
    text = "<|endoftext|>the cat"
    read = read_prompt(PIECES_WITH_BOS, scored(text))
    assert read.ids + read.text_ids == ids_of(PIECES_WITH_BOS, text)
    assert read.ids == (PIECES_WITH_BOS.bos_token_id,)


def test_without_a_token_that_begins_a_text_its_first_token_is_read_and_not_scored():
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = tokenizer.eos_token = None
    read = read_prompt(tokenizer, scored("the cat"))
    assert read.ids + read.text_ids == ids_of(tokenizer, "the cat")
    assert len(read.ids) == 1
    assert read.notes == (
        "The text's first token, “t”, is read but not scored: the tokenizer has no token that begins a text.",
    )
    with pytest.raises(BadInput, match="Text too short"):
        read_prompt(tokenizer, scored("t"))


# Ends ---------------------------------------------------------------------------------------------------------


def test_what_the_chat_template_puts_after_an_answer_ends_it():
    assert chat_end_ids(BYTES, CAT) == {BYTES.convert_tokens_to_ids("<|end|>")}


def test_a_template_that_marks_no_end_names_none():
    tokenizer = with_template("{% for message in messages %}{{ message['content'] }}\n{% endfor %}")
    assert chat_end_ids(tokenizer, CAT) == frozenset()
