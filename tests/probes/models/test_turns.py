"""A conversation of several turns goes whole into the chat template, with the arguments that the template knows."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from probes.models.prompting import CONTINUED_NOTE, chat_end_ids, read_prompt
from probes.models.template_variables import variables_of
from probes.schema.conversation import TemplateArg, Turn
from probes.schema.errors import BadInput
from probes.schema.settings import Follow, RunSettings
from tests.support.tiny import CHAT_TEMPLATE, byte_tokenizer

SYSTEM, ASKED, SAID = Turn("system", "be brief"), Turn("user", "the cat"), Turn("assistant", "sat")
TALK = RunSettings("why", turns=(SYSTEM, ASKED, SAID))
THINKING = "{% if enable_thinking is defined and not enable_thinking %}<off>{% endif %}"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
ONLY_USERS = CHAT_TEMPLATE.replace("<|{{", "{% if message['role'] != 'system' %}<|{{").replace(
    "<|end|>", "<|end|>{% endif %}"
)
PARTS = CHAT_TEMPLATE.replace("{{ message['content'] }}", "{{ message['content'][0]['text'] }}")


def with_template(source: str):  # type: ignore[no-untyped-def]  # transformers' tokenizers have no usable type
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = source
    return tokenizer


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, PARTS], ids=["texts", "parts"])
def test_every_turn_is_rendered_in_its_order(template: str) -> None:
    prompt = read_prompt(with_template(template), TALK)
    assert prompt.text == (
        "<|system|>be brief<|end|><|user|>the cat<|end|><|assistant|>sat<|end|><|user|>why<|end|><|assistant|>"
    )
    assert (prompt.notes, prompt.warnings) == ((), ())


def test_a_begun_answer_follows_exactly_as_it_is_written() -> None:
    prompt = read_prompt(byte_tokenizer(), replace(TALK, begun="Because the "))
    assert prompt.text.endswith("why<|end|><|assistant|>Because the ")
    assert CONTINUED_NOTE in prompt.notes
    before = read_prompt(byte_tokenizer(), TALK).ids
    assert prompt.ids[: len(before)] == before


def test_a_text_is_scored_after_all_turns() -> None:
    prompt = read_prompt(byte_tokenizer(), replace(TALK, follow=Follow.TEXT, text="the mat"))
    assert prompt.text.endswith("why<|end|><|assistant|>")
    assert byte_tokenizer().decode(prompt.text_ids) == "the mat"


def test_a_template_that_refuses_the_system_role_is_quoted_with_the_way_out() -> None:
    with pytest.raises(BadInput, match="System role not supported") as refused:
        read_prompt(with_template(NO_SYSTEM + CHAT_TEMPLATE), TALK)
    assert "these turns" in refused.value.message
    assert "before the first turn of the user" in refused.value.hint


def test_a_turn_that_the_template_drops_is_named() -> None:
    with pytest.raises(BadInput, match=re.escape("drops turn 1, of the role 'system'")):
        read_prompt(with_template(ONLY_USERS), TALK)
    assert read_prompt(with_template(ONLY_USERS), replace(TALK, turns=(ASKED, SAID))).text.count("<|user|>") == 2


def test_turns_need_a_template() -> None:
    with pytest.raises(BadInput, match="no chat template"):
        read_prompt(byte_tokenizer(chat=False), TALK)


@pytest.mark.parametrize("change", [{"turns": (SYSTEM,)}, {"begun": "yes"}, {"template_args": (TemplateArg("a", 1),)}])
def test_a_raw_prompt_has_nothing_for_a_template(change: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="raw prompt uses no chat template"):
        replace(RunSettings("why", raw=True), **change)  # type: ignore[arg-type]


def test_an_argument_reaches_the_template_and_the_ends_of_an_answer() -> None:
    tokenizer = with_template(CHAT_TEMPLATE + THINKING)
    off = replace(TALK, template_args=(TemplateArg("enable_thinking", False),))
    assert read_prompt(tokenizer, off).text.endswith("<|assistant|><off>")
    assert read_prompt(tokenizer, off).warnings == ()
    assert read_prompt(tokenizer, TALK).text.endswith("<|assistant|>")
    assert chat_end_ids(tokenizer, off) == {tokenizer.convert_tokens_to_ids("<|end|>")}


def test_an_argument_that_nothing_reads_is_warned_of() -> None:
    args = (TemplateArg("enable_thinking", False),)
    for tokenizer, settings in (
        (byte_tokenizer(), replace(TALK, template_args=args)),
        (byte_tokenizer(chat=False), RunSettings("why", template_args=args)),
        (byte_tokenizer(), RunSettings("", follow=Follow.TEXT, text="the cat", template_args=args)),
    ):
        (warning,) = read_prompt(tokenizer, settings).warnings
        assert warning.startswith("The template argument enable_thinking=false has no effect: ")


@pytest.mark.parametrize(
    ("template", "known"),
    [
        (CHAT_TEMPLATE, {"messages", "add_generation_prompt"}),
        (CHAT_TEMPLATE + THINKING, {"messages", "add_generation_prompt", "enable_thinking"}),
        ("{% if date_string is not defined %}{% set date_string = 'x' %}{% endif %}{{ date_string }}", {"date_string"}),
        ("{% set enable_thinking = true %}{{ enable_thinking }}", set()),
        ("{% for m in messages %}{% generation %}{{ m }}{% endgeneration %}{% break %}{% endfor %}", {"messages"}),
        ("{% if broken", {"if", "broken"}),
    ],
)
def test_the_variables_of_a_template_are_those_it_takes_from_outside(template: str, known: set[str]) -> None:
    assert variables_of(template) == known
