"""Makes the tokens that both models read before the first step: the prompt, in a chat template or raw, and a text to
score.

A prompt is rendered once a run: a template may write the date, so a second rendering could give other tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from probes.models.template_variables import variables_of
from probes.models.tokens import TokenDecoder, token_ids_of
from probes.schema.conversation import ASSISTANT, SYSTEM, USER, TemplateArg, Turn
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.header import RunHeader
from probes.schema.settings import Follow, RunSettings

DATE_NOTE = (
    "The chat template can write the date into the prompt, so the same prompt may give other tokens on another day. "
    "A recording is continued with the recorded tokens."
)
_DATE = "strftime_now"
"""The function from which a template gets the time."""
CONTINUED_NOTE = "The conversation ends with the assistant's own words, which the models continue."
_MARK = "phierprompt"
"""The beginning of words that no template contains. If the rendered text lacks one, the template dropped that turn."""
_WRITTEN_OUT = re.compile(rf"""['"]text['"]\s*:\s*['"]{_MARK}""")
"""A list of parts as a template for plain texts writes it: as Python or JSON."""
_SHOWN = 200
"""How many characters of a template's error message are shown."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens that both models read before the first step of a run."""

    text: str
    """The prompt after the chat template."""
    ids: tuple[int, ...]
    text_ids: tuple[int, ...] = ()
    """The tokens of the text to score; empty if no text is followed."""
    notes: tuple[str, ...] = ()
    """Sentences that a reader of the figures should know."""
    warnings: tuple[str, ...] = ()
    """Sentences that must be shown."""


def read_prompt(tokenizer: PreTrainedTokenizerBase, settings: RunSettings) -> Prompt:
    """The prompt as text and ids, and the ids of the text to score if one is followed.

    The chat template, if the tokenizer has one, gets all turns, the prompt as the user's last one, and opens the
    answer, whose beginning follows as it is; a raw prompt does not use it. Special tokens occur once: a template writes
    its own, and plain text gets the tokenizer's. Raises `BadInput` if there is no token to read, if the template can't
    take the turns, or if there are several and no template.
    """
    if settings.follow is Follow.TEXT and not settings.prompt:
        alone = _text_alone(tokenizer, settings.text)
        why = "a text without a prompt uses no chat template"
        return replace(alone, warnings=_without_effect(settings.template_args, why))
    template = _template(tokenizer, settings)
    if template is None:
        if settings.turns or settings.begun:
            raise BadInput(
                "No chat template",
                "The model has no chat template, so a system prompt, other turns and a begun answer have no place.",
                "Name a model that has one, or give a prompt alone.",
            )
        prompt = _raw(tokenizer, settings.prompt)
        prompt = replace(prompt, warnings=_without_effect(settings.template_args, "the model has no chat template"))
    else:
        if not settings.prompt.strip():
            raise BadInput("Empty prompt", "The prompt is empty.", "Type at least one word.")
        text = _in_template(tokenizer, template, settings) + settings.begun
        notes = (*((DATE_NOTE,) if _DATE in template else ()), *((CONTINUED_NOTE,) if settings.begun else ()))
        ids = tuple(token_ids_of(tokenizer, text, special=False))
        prompt = Prompt(text, ids, notes=notes, warnings=_unused(template, settings.template_args))
    if not prompt.ids:
        raise BadInput("Empty prompt", "The prompt has no tokens.", "Type at least one word.")
    if settings.follow is not Follow.TEXT:
        return prompt
    return replace(prompt, text_ids=_text_after(tokenizer, prompt, settings.text))


def recorded_prompt(tokenizer: PreTrainedTokenizerBase, header: RunHeader) -> Prompt:
    """The prompt of a recorded run, to continue it: the recorded ids, even if the template would give others now.

    Raises `BadInput` if this tokenizer makes other tokens of the recorded text, and the errors of `read_prompt` if the
    recording has no ids.
    """
    ids = header.prompt_ids
    if not ids:
        return read_prompt(tokenizer, header.settings)
    try:
        now = read_prompt(tokenizer, header.settings)
    except BadInput:  # the template has changed and now refuses the prompt
        now = Prompt("", ())
    if ids != now.ids and list(ids) != token_ids_of(tokenizer, header.prompt_text, special=False):
        raise BadInput(
            "Another prompt",
            f"This tokenizer does not give the recorded prompt's {len(ids):,} tokens for the same text.",
            "Restore the recorded tokenizer, or begin a new run.",
        )
    was = Prompt(header.prompt_text, ids, header.text_ids, now.notes, now.warnings)
    if header.settings.follow is not Follow.TEXT or was.text_ids:
        return was
    same = now.ids == ids
    return replace(was, text_ids=now.text_ids if same else _text_after(tokenizer, was, header.settings.text))


def chat_end_ids(tokenizer: PreTrainedTokenizerBase, settings: RunSettings) -> frozenset[int]:
    """The special token that the chat template in use writes after an answer, if it writes one."""
    answer = "yes"
    try:
        template = _template(tokenizer, settings)
        if template is None:
            return frozenset()
        found = _conversations(tokenizer, template, settings.template_args, "no", answer)
        text = next((text for text in found if answer in text), "")
    except BadInput:
        return frozenset()  # the template does not take these turns; the configurations name the ends
    after = text[text.rindex(answer) + len(answer) :] if text else ""
    ids = token_ids_of(tokenizer, after.lstrip(), special=False)
    added = tokenizer.added_tokens_decoder
    return frozenset(token_id for token_id in ids[:1] if token_id in added and added[token_id].special)


# Without a template -------------------------------------------------------------------------------------------


def _raw(tokenizer: PreTrainedTokenizerBase, prompt: str) -> Prompt:
    ids = token_ids_of(tokenizer, prompt, special=True)
    first = tokenizer.bos_token_id
    if first is not None and ids[:2] == [first, first]:
        ids = ids[1:]
    begun = first is not None and ids[:1] == [first] and not prompt.startswith(str(tokenizer.bos_token))
    return Prompt(f"{tokenizer.bos_token}{prompt}" if begun else prompt, tuple(ids))


def _text_after(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, text: str) -> tuple[int, ...]:
    """The text's ids after the prompt.

    The text is tokenised together with the prompt, so that its first token is one that a model could write there. If
    that changes the prompt's last token, the text is tokenised alone.
    """
    before = list(prompt.ids)
    whole = token_ids_of(tokenizer, prompt.text + text, special=False)
    ids = whole[len(before) :] if whole[: len(before)] == before else []
    return tuple(_some(ids or token_ids_of(tokenizer, text, special=False)))


def _text_alone(tokenizer: PreTrainedTokenizerBase, text: str) -> Prompt:
    """A text without a prompt: the models read a token that begins a text, then every token of the text is scored."""
    ids = _some(token_ids_of(tokenizer, text, special=False))
    begin = begin_token(tokenizer, text, ids)
    if begin is None:
        if not ids[1:]:
            raise BadInput(
                "Text too short",
                "The text is a single token, and the tokenizer has no token that begins a text.",
                "Give a longer text, or a prompt before it.",
            )
        first = TokenDecoder(tokenizer).piece(ids[0])
        note = (
            f"The text's first token, “{visible(first, _SHOWN)}”, is read but not scored: the tokenizer has no token "
            "that begins a text."
        )
        return Prompt(first, (ids[0],), tuple(ids[1:]), (note,))
    if ids[0] == begin and ids[1:]:
        ids = ids[1:]  # the text already begins with that token
    piece = TokenDecoder(tokenizer).piece(begin)
    note = f"There is no prompt: the text's first token is scored after “{visible(piece, _SHOWN)}”."
    return Prompt(piece, (begin,), tuple(ids), (note,))


def begin_token(tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int]) -> int | None:
    """The token that the tokenizer writes before a text, or else its token that begins or ends a text; None if it has
    neither."""
    first = token_ids_of(tokenizer, text, special=True)[0]
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    if first != ids[0]:
        return first
    return next((token_id for token_id in named if isinstance(token_id, int)), None)


def _some(ids: list[int]) -> list[int]:
    if not ids:
        raise BadInput("Empty text", "The text to score has no tokens.", "Give at least one word.")
    return ids


# With a template ----------------------------------------------------------------------------------------------


def _template(tokenizer: PreTrainedTokenizerBase, settings: RunSettings) -> str | None:
    """The Jinja source of the chat template in use; None for a raw prompt."""
    if settings.raw:
        return None
    held, asked = tokenizer.chat_template, settings.chat_template
    named: dict[str, str] = held if isinstance(held, dict) else {"default": held} if held else {}
    if not named and not asked:
        return None
    names = ", ".join(visible(str(name), _SHOWN) for name in named)
    if asked in named or (not asked and "default" in named):
        return str(named[asked or "default"])
    if asked and not named:
        raise BadInput("Chat template", "The model has no chat templates.", "Leave --chat-template out.")
    if asked:
        raise BadInput(
            "Chat template",
            f"The model has no chat template {visible(asked, _SHOWN)!r}.",
            f"Choose one of these with --chat-template: {names}.",
        )
    raise BadInput(
        "Chat template",
        f"The model has several chat templates and no default: {names}.",
        "Choose one with --chat-template NAME, or send the prompt as it is with --raw.",
    )


def _in_template(tokenizer: PreTrainedTokenizerBase, template: str, settings: RunSettings) -> str:
    """The rendered conversation, which contains each turn, and all of the prompt's words.

    Some templates take a turn as a text. Others take a list of parts, and drop a text without an error. Both forms are
    tried. Raises `BadInput` if neither gives a text with every turn.
    """
    args, turns = settings.template_args, (*settings.turns, Turn(USER, settings.prompt))
    marks = [f"{_MARK}{place}end" for place in range(len(turns))]
    marked = [Turn(turn.role, mark) for turn, mark in zip(turns, marks, strict=True)]
    problem: BadInput | None = None
    lost: int | None = None
    """The first turn that the template drops, although it takes the prompt."""
    for form in _FORMS:
        try:
            tried = _render(tokenizer, template, marked, form, args, open_answer=True).casefold()
            if marks[-1] in tried and not _WRITTEN_OUT.search(tried):
                missing = next((place for place, mark in enumerate(marks) if mark not in tried), None)
                text = _render(tokenizer, template, turns, form, args, open_answer=True)
                if missing is None and _holds(text, settings.prompt):
                    return text
                lost = missing if lost is None else lost
        except BadInput as found:
            problem = problem or found
    if lost is not None:
        role = visible(turns[lost].role, _SHOWN)
        raise BadInput(
            "Chat template",
            f"The model's chat template drops turn {lost + 1}, of the role {role!r}.",
            "Leave that turn out, or choose another template with --chat-template.",
        )
    raise problem or BadInput(
        "Chat template",
        "The model's chat template drops the prompt or a part of it.",
        "Send the prompt as it is with --raw, or choose another template with --chat-template.",
    )


def _unused(template: str, args: Sequence[TemplateArg]) -> tuple[str, ...]:
    """A warning if the template reads none of the variables of an argument."""
    known = variables_of(template)
    return _without_effect([arg for arg in args if arg.name not in known], "the chat template does not read it")


def _without_effect(args: Sequence[TemplateArg], why: str) -> tuple[str, ...]:
    return tuple(f"The template argument {visible(str(arg), _SHOWN)} has no effect: {why}." for arg in args)


def _conversations(
    tokenizer: PreTrainedTokenizerBase, template: str, args: Sequence[TemplateArg], asked: str, answer: str
) -> list[str]:
    """A question and its answer, rendered in each form that the template takes. Raises `BadInput` if it takes none."""
    found, problem = [], None
    for form in _FORMS:
        turns = [Turn(USER, asked), Turn(ASSISTANT, answer)]
        try:
            found.append(_render(tokenizer, template, turns, form, args, open_answer=False))
        except BadInput as refused:
            problem = refused
    if not found and problem is not None:
        raise problem
    return found


def _holds(text: str, prompt: str) -> bool:
    """Are the prompt's words in the text, in their order? The characters between them may be escaped or trimmed."""
    text, at = text.casefold(), 0
    for word in re.findall(r"\w+", prompt.casefold()) or prompt.casefold().split():
        at = text.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


def _parts(content: str) -> object:
    return [{"type": "text", "text": content}]


_FORMS: tuple[Callable[[str], object], ...] = (str, _parts)


def _render(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    turns: Sequence[Turn],
    form: Callable[[str], object],
    args: Sequence[TemplateArg],
    *,
    open_answer: bool,
) -> str:
    conversation: Any = [{"role": turn.role, "content": form(turn.content)} for turn in turns]
    variables: Any = {arg.name: arg.value for arg in args}
    try:
        text = tokenizer.apply_chat_template(
            conversation, chat_template=template, tokenize=False, add_generation_prompt=open_answer, **variables
        )
    except Exception as problem:  # a template is a program: it can raise anything
        said = visible(str(problem), _SHOWN) or type(problem).__name__
        what, hint = (
            "this prompt",
            "Send the prompt as it is with --raw, or choose another template with --chat-template.",
        )
        if len(turns) > 1 and open_answer:
            what = "these turns"
            hint = "Give the turns in another way, or choose another template with --chat-template."
            if turns[0].role == SYSTEM:
                hint = f"If it takes no system prompt, put its words before the first turn of the user. {hint}"
        raise BadInput("Chat template", f"The model's chat template can't take {what} ({said}).", hint) from problem
    return str(text)
