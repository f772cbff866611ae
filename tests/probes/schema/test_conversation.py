"""Messages and template arguments are read whole, or refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.schema.conversation import (
    Conversation,
    TemplateArg,
    TemplateValue,
    Turn,
    check_args,
    conversation_of,
    template_args,
    turns_of,
)
from probes.schema.errors import BadInput

USER, SAID, SYSTEM = Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("system", "Be brief")


def message(role: object, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


@pytest.mark.parametrize("wrap", [lambda listed: listed, lambda listed: {"messages": listed, "id": 3}])
def test_the_usual_shape_is_read(wrap) -> None:  # type: ignore[no-untyped-def]
    parts = [{"type": "text", "text": "Be "}, "brief"]
    assert turns_of(wrap([message("system", parts), message(" user ", "Hi")]), "a.json") == (SYSTEM, USER)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ("Hi", "no list of messages"),
        ({"turns": []}, "no list of messages"),
        (["Hi"], "Message 1 of a.json is no object"),
        ([{"from": "human", "value": "Hi"}], "Message 1 of a.json has no role; it has from, value"),
        ([message("", "Hi")], "no role"),
        ([message("user", None)], "no text as its content"),
        ([message("user", [{"type": "image", "url": "x"}])], "no pictures"),
    ],
)
def test_any_other_shape_is_refused(found: object, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        turns_of(found, "a.json")
    assert sentence in str(refused.value)


def test_messages_are_divided_at_the_last_turn_of_the_user() -> None:
    assert conversation_of((USER,)) == Conversation((), "Hi")
    assert conversation_of((SYSTEM, USER, SAID, USER)) == Conversation((SYSTEM, USER, SAID), "Hi")
    assert conversation_of((SYSTEM, USER, SAID)) == Conversation((SYSTEM,), "Hi", "Hello")


@pytest.mark.parametrize(
    ("turns", "sentence"),
    [
        ((), "has no messages"),
        ((SYSTEM,), "its last role is 'system'"),
        ((SAID,), "ends without a turn of the user"),
        ((USER, SAID, SAID), "its last role is 'assistant'"),
        ((USER, Turn("assistant", " \n"), USER), "an empty message: number 2, of the assistant"),
        ((Turn("user", "x"),) * 10_001, "10,001 messages"),
    ],
)
def test_messages_that_ask_nothing_are_refused(turns: tuple[Turn, ...], sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        conversation_of(turns)
    assert sentence in str(refused.value)


@given(st.lists(st.sampled_from((SYSTEM, USER, SAID)), max_size=4), st.sampled_from(("", "Hello")))
def test_messages_and_their_division_say_the_same(before: list[Turn], begun: str) -> None:
    whole = Conversation(tuple(before), "Hi", begun)
    assert conversation_of(whole.messages) == whole


def test_one_system_prompt_is_enough() -> None:
    assert Conversation((), "Hi").with_system("Be brief").turns == (SYSTEM,)
    with pytest.raises(BadInput, match="already"):
        Conversation((SYSTEM,), "Hi").with_system("Be kind")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("false", False), ("False", False), ("TRUE", True), ("none", None), ("null", None), ("3", 3), ("0.5", 0.5),
        ("low", "low"), ('"true"', "true"), ("", ""), ("26 Jul 2024", "26 Jul 2024"), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_an_argument_is_a_value_of_json_or_a_text(text: str, value: TemplateValue) -> None:
    (arg,) = template_args((f"effort={text}",))
    assert arg == TemplateArg("effort", value)
    assert type(arg.value) is type(value)


@given(st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(-9, 9), st.text(max_size=9)))
def test_an_argument_is_read_back_from_its_text(value: TemplateValue) -> None:
    arg = TemplateArg("effort", value)
    assert template_args((str(arg),)) == (arg,)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (("effort",), "has no = sign"),
        (("2x=1",), "is not the name of a variable"),
        (("messages=1",), "is set by the program"),
        (("a=1", "a=2"), "is given twice"),
        (("a=[1]",), "is a list or an object"),
    ],
)
def test_an_argument_that_no_template_could_take_is_refused(texts: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        template_args(texts)
    assert sentence in str(refused.value)


def test_a_number_that_a_recording_cant_hold_is_refused() -> None:
    with pytest.raises(BadInput, match="not finite"):
        check_args((TemplateArg("a", float("inf")),))
