"""The turns of a conversation and the arguments of a chat template, as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

ROLES = ("system", "user", "assistant")
"""The roles that every chat template is written for; a template may know others."""
ASSISTANT, USER, SYSTEM = "assistant", "user", "system"
MOST_TURNS, MOST_ARGS = 10_000, 100
SHAPE = '[{"role": "user", "content": "…"}, …]'
"""The usual shape of messages."""
_RESERVED = frozenset(
    (
        *("messages", "conversation", "tools", "documents", "chat_template", "add_generation_prompt", "tokenize"),
        *("continue_final_message", "sanitize_control_tokens", "padding", "truncation", "max_length", "self"),
        *("return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
    )
)
"""Names that mean something else where a template is rendered."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}
_SHOWN = 80
"""How many characters of a wrong value a message shows."""

TemplateValue = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side of a conversation said."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TemplateArg:
    """A variable that a chat template is given, such as `enable_thinking`."""

    name: str
    value: TemplateValue

    def __str__(self) -> str:
        return f"{self.name}={_written(self.value)}"


Turns = Annotated[tuple[Turn, ...], Meta(max_length=MOST_TURNS)]
TemplateArgs = Annotated[tuple[TemplateArg, ...], Meta(max_length=MOST_ARGS)]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, divided as a run reads them."""

    turns: tuple[Turn, ...]
    """The turns before the prompt: the system prompt, and what was asked and answered."""
    prompt: str
    """The last turn of the user."""
    begun: str = ""
    """The beginning of the answer, which the models go on writing; "" if they write all of it."""

    @property
    def messages(self) -> tuple[Turn, ...]:
        """All turns, in their order."""
        answer = (Turn(ASSISTANT, self.begun),) if self.begun else ()
        return (*self.turns, Turn(USER, self.prompt), *answer)

    def with_system(self, system: str) -> Conversation:
        """The same conversation with a system prompt. Raises `BadInput` if it has one."""
        if self.turns and self.turns[0].role == SYSTEM:
            raise BadInput("System prompt", "The messages have a system prompt already.", "Give one of them.")
        return Conversation((Turn(SYSTEM, system), *self.turns), self.prompt, self.begun)


def conversation_of(turns: Sequence[Turn], where: str = "The conversation") -> Conversation:
    """Divides messages into the turns before the prompt, the prompt, and a begun answer.

    Raises `BadInput` if there is none, one of them is blank, or the last one is neither the user's nor the beginning of
    an answer to one of the user's. `where` begins the sentence.
    """
    if not turns:
        raise _fault(f"{where} has no messages.")
    if len(turns) > MOST_TURNS:
        raise _fault(f"{where} has {len(turns):,} messages.", f"Give at most {MOST_TURNS:,}.")
    for place, turn in enumerate(turns, 1):
        if not turn.content.strip():
            raise _fault(
                f"{where} has an empty message: number {place}, of the {visible(turn.role, _SHOWN)}.",
                "Fill it, or leave it out.",
            )
    begun = turns[-1].content if turns[-1].role == ASSISTANT else ""
    asked = turns[:-1] if begun else turns
    if not asked or asked[-1].role != USER:
        role = visible(asked[-1].role, _SHOWN) if asked else ASSISTANT
        raise _fault(
            f"{where} ends without a turn of the user: its last role is {role!r}.",
            "End with a user's message; the beginning of the assistant's answer may follow it.",
        )
    return Conversation(tuple(asked[:-1]), asked[-1].content, begun)


def turns_of(found: object, where: str) -> tuple[Turn, ...]:
    """Reads messages in their usual JSON shape: a list of objects with a role and a content, or `{"messages": list}`.

    A content may be a text or a list of text parts. Raises `BadInput` for anything else; `where` begins the sentence.
    """
    listed = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        raise _fault(f"{where} is no list of messages.")
    return tuple(_turn(one, f"Message {place} of {_lower(where)}") for place, one in enumerate(listed, 1))


def template_args(given: Sequence[str]) -> tuple[TemplateArg, ...]:
    """Reads arguments written as `name=value`. Raises `BadInput` for one that can't be read, and for a name given
    twice."""
    found = tuple(map(_arg, given))
    check_args(found)
    return found


def check_args(args: Sequence[TemplateArg]) -> None:
    """Raises `BadInput` for a name that is none, has another meaning, or occurs twice."""
    names = [arg.name for arg in args]
    if any(isinstance(arg.value, float) and not math.isfinite(arg.value) for arg in args):
        raise _arg_fault("A number that is not finite can't be an argument.")
    for name in names:
        shown = visible(name, _SHOWN)
        if not _NAME.fullmatch(name):
            raise _arg_fault(f"{shown!r} is not the name of a variable.")
        if name in _RESERVED:
            raise _arg_fault(f"{shown} is set by the program and can't be an argument.", "Leave it out.")
        if names.count(name) > 1:
            raise _arg_fault(f"{shown} is given twice.", "Give it once.")


def _arg(given: str) -> TemplateArg:
    name, sign, value = given.partition("=")
    if not sign:
        raise _arg_fault(f"{visible(given, _SHOWN)!r} has no = sign.")
    return TemplateArg(name.strip(), _value(value.strip()))


def _value(text: str) -> TemplateValue:
    """JSON's values; the words of Python, because a template would take the text "False" for true; any other text as
    it is."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    if isinstance(found, dict | list):
        raise _arg_fault(f"{visible(text, _SHOWN)} is a list or an object.")
    return found if isinstance(found, bool | int | float | str) else None


def _written(value: TemplateValue) -> str:
    """The text that `_value` reads as this value."""
    if isinstance(value, str) and value == value.strip() and _is_itself(value):
        return value
    return msgspec.json.encode(
        value if not isinstance(value, str) else value.encode("utf-8", "replace").decode()
    ).decode()


def _is_itself(text: str) -> bool:
    try:
        return _value(text) == text and isinstance(_value(text), str)
    except BadInput:
        return False


def _turn(found: object, where: str) -> Turn:
    if not isinstance(found, dict):
        raise _fault(f"{where} is no object.")
    role, content = found.get("role"), found.get("content")
    if not isinstance(role, str) or not role.strip():
        others = ", ".join(visible(str(name), 40) for name in list(found)[:5]) or "nothing"
        raise _fault(f"{where} has no role; it has {others}.")
    if isinstance(content, list):
        content = _joined(content)
    if not isinstance(content, str):
        raise _fault(f"{where} has no text as its content.", "Only text can be read: no pictures, no tool calls.")
    return Turn(role.strip(), content)


def _joined(parts: list[object]) -> str | None:
    """The text of a content that is a list of parts; None if one of them is no text."""
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str)) if all(isinstance(t, str) for t in texts) else None


def _lower(where: str) -> str:
    return where[:1].lower() + where[1:]


def _fault(message: str, hint: str = f"Write them like {SHAPE}.") -> BadInput:
    return BadInput("Messages", message, hint)


def _arg_fault(message: str, hint: str = "Write it like enable_thinking=false.") -> BadInput:
    return BadInput("Template argument", message, hint)
