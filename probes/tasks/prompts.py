"""Makes prompts and tokens of items, as evaluation harnesses do: a question and its options, a text and its labels, a
prompt with a short answer.

A prompt ends without a space, and the option after it begins with one, unless the prompt ends with a line break (as
chat templates do). An option's tokens are those of the whole text without those of the prompt, so that its first
token is one that a model could write there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from string import ascii_uppercase

from transformers import PreTrainedTokenizerBase

from probes.models.prompting import Prompt, read_prompt
from probes.models.tokens import TokenDecoder, token_ids_of
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet, Question, ShortAnswer, TaskKind, Way, Wording
from probes.schema.settings import RunSettings
from probes.schema.task_options import Pooling
from probes.schema.task_results import ItemPrompt

_SHOWN = 60
"""How many characters of an option are shown in an error."""


@dataclass(frozen=True, slots=True)
class LetterPrompt:
    """A question whose options are scored at one position, the one after `ids`."""

    text: str
    """What both models read, as a raw prompt: a run reads the same tokens of it."""
    ids: tuple[int, ...]
    names: tuple[str, ...]
    """What the model writes to choose each option: "A", "B"; of classification, the label words."""
    tokens: tuple[tuple[int, ...], ...]
    """The token ids of each name with and without a leading space; of a name of several tokens, the first. A form whose
    tokens do not tell all names apart is left out."""


@dataclass(frozen=True, slots=True)
class ContinuationPrompt:
    """A question whose options are scored by their whole text after `ids`."""

    text: str
    """What both models read before the option, as a raw prompt: a run reads the same tokens of it."""
    ids: tuple[int, ...]
    """The tokens of `text`, without the last ones if an option's first character merges with them."""
    options: tuple[str, ...]
    """The text of each option as it follows the prompt: " Paris"."""
    continuations: tuple[tuple[int, ...], ...]
    """The tokens of each option after `ids`: at least one. If the boundary merges for one option, all of them begin
    with the characters that `ids` leaves out, so that their scores are about the same text."""


def by_letter(tokenizer: PreTrainedTokenizerBase, items: ItemSet, question: Question) -> LetterPrompt:
    """The question with its options lettered, or the text before its label word, and the tokens of each choice.

    Raises `BadInput` if two options begin with one token, or if an option has no token.
    """
    labels = items.kind is TaskKind.CLASSIFICATION
    if not labels and len(question.options) > len(ascii_uppercase):
        problem = f"has {len(question.options)} options, more than there are letters."
        raise _by_continuation_instead(items, question.id, problem)
    names = question.options if labels else tuple(ascii_uppercase[: len(question.options)])
    text = question.question if labels else question.lettered
    encode, prompt = _read(tokenizer, items, text, items.wording_of(question))
    forms = [[_after(encode(lead + name), prompt.ids)[:1] for name in names] for lead in (" ", "")]
    # A form counts if it tells all options apart. A space that is a token by itself, for one, does not.
    telling = [form for form in forms if all(_meaning(tokenizer, ids) for ids in form) and len(set(form)) == len(form)]
    tokens = tuple(tuple(dict.fromkeys(chain(*same))) for same in zip(*telling, strict=True))
    if not tokens:
        for name, *firsts in zip(names, *forms, strict=True):
            _check_known(tokenizer, items, question, name, tuple(chain(*firsts)))
        raise _alike(tokenizer, items, question.id, names, forms[-1])
    return LetterPrompt(prompt.text, prompt.ids, names, tokens)


def by_continuation(tokenizer: PreTrainedTokenizerBase, items: ItemSet, question: Question) -> ContinuationPrompt:
    """The question without its options, and the tokens of each option after it.

    Raises `BadInput` if an option has no tokens, only unknown ones, or the same as another.
    """
    encode, prompt = _read(tokenizer, items, question.question, items.wording_of(question))
    lead = "" if prompt.text[-1:].isspace() else " "
    options = tuple(lead + option.lstrip(" ") for option in question.options)
    wholes = [encode(option) for option in options]
    shared = min(_shared(prompt.ids, whole) for whole in wholes)
    continuations: list[tuple[int, ...]] = []
    for option, whole in zip(question.options, wholes, strict=True):
        ids = whole[shared:]
        nothing = whole == prompt.ids or not option.strip()
        _check_known(tokenizer, items, question, option, () if nothing else ids)
        if ids in continuations:
            other = question.options[continuations.index(ids)]
            problem = f"{_quoted(other)} and {_quoted(option)} give the same tokens."
            raise BadInput("Options", f"{_named(items, question.id)}: {problem}", "Correct or remove the item.")
        continuations.append(ids)
    return ContinuationPrompt(prompt.text, prompt.ids[:shared], options, tuple(continuations))


def short_answer_prompt(tokenizer: PreTrainedTokenizerBase, items: ItemSet, item: ShortAnswer) -> Prompt:
    """The text and the tokens after which the answer is generated."""
    return _read(tokenizer, items, item.prompt, items.wording)[1]


def item_prompt(tokenizer: PreTrainedTokenizerBase, items: ItemSet, item_id: str) -> ItemPrompt:
    """The text that both models read of one item, up to the token that decides it, and the options to watch there.

    For retrieval it is the text of the query. Raises `BadInput` if there is no such item, or if it can't be scored.
    """
    for question in items.questions:
        if question.id == item_id:
            return _question_prompt(tokenizer, items, question)
    for item in items.prompts:
        if item.id == item_id:
            text = short_answer_prompt(tokenizer, items, item).text
            return ItemPrompt(items.name, item_id, text, {}, item.targets[0])
    for query in items.collection.queries if items.collection else ():
        if query.id == item_id:
            text = items.wording.around(query.text) if items.pooling is Pooling.LAST else query.text
            return ItemPrompt(items.name, item_id, text, {}, query.positive[0])
    raise BadInput("Item", f"{items.name} has no item {visible(item_id, _SHOWN)!r}.", "Choose one of the list.")


def _question_prompt(tokenizer: PreTrainedTokenizerBase, items: ItemSet, question: Question) -> ItemPrompt:
    if items.way is Way.LETTER:
        lettered = by_letter(tokenizer, items, question)
        text, names, tokens = lettered.text, lettered.names, lettered.tokens
    else:
        continued = by_continuation(tokenizer, items, question)
        text, names, tokens = continued.text, question.options, tuple(ids[:1] for ids in continued.continuations)
    options = dict(zip(names, question.options, strict=True))
    apart = len({token for ids in tokens for token in ids}) == sum(map(len, tokens))
    return ItemPrompt(items.name, question.id, text, options, names[question.answer], tokens if apart else ())


# Text ---------------------------------------------------------------------------------------------------------


def _read(
    tokenizer: PreTrainedTokenizerBase, items: ItemSet, text: str, wording: Wording
) -> tuple[Callable[[str], tuple[int, ...]], Prompt]:
    """The prompt, and a function that gives the tokens of the prompt and a text after it."""
    written = wording.around(text)
    prompt = read_prompt(tokenizer, RunSettings(written, raw=not items.chat))
    if items.chat and tokenizer.chat_template:
        return (lambda after: tuple(token_ids_of(tokenizer, prompt.text + after, special=False))), prompt
    # The tokenizer adds its beginning token itself; after a written one, some read the first word differently.
    return (lambda after: _raw(tokenizer, written + after).ids), replace(prompt, text=written)


def _raw(tokenizer: PreTrainedTokenizerBase, text: str) -> Prompt:
    return read_prompt(tokenizer, RunSettings(text, raw=True))


# Tokens -------------------------------------------------------------------------------------------------------


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """How many first tokens are the same."""
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _after(whole: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens after the prompt; none if its last token merges with them, since no model could then write them."""
    return whole[len(before) :] if whole[: len(before)] == before else ()


def _meaning(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens that are neither blank nor unknown."""
    pieces = TokenDecoder(tokenizer)
    return tuple(token_id for token_id in ids if token_id != tokenizer.unk_token_id and pieces.piece(token_id).strip())


def _check_known(
    tokenizer: PreTrainedTokenizerBase, items: ItemSet, question: Question, option: str, ids: tuple[int, ...]
) -> None:
    """Raises `BadInput` if these tokens of an option are blank or unknown."""
    if _meaning(tokenizer, ids):
        return
    unknown = tokenizer.unk_token_id in ids
    problem = f"the vocabulary of this model does not have {_quoted(option)}."
    if not unknown:
        problem = f"the option {_quoted(option)} has no tokens."
    raise BadInput("Options", f"{_named(items, question.id)}: {problem}", "Correct or remove the item.")


def _alike(
    tokenizer: PreTrainedTokenizerBase,
    items: ItemSet,
    item_id: str,
    names: Sequence[str],
    firsts: Sequence[tuple[int, ...]],
) -> BadInput:
    """The error about the first two options that begin with one token."""
    owner: dict[tuple[int, ...], str] = {}
    for name, first in zip(names, firsts, strict=True):
        if first in owner:
            both = f"{_quoted(owner[first])} and {_quoted(name)} both begin with the token"
            piece = _quoted(TokenDecoder(tokenizer).piece(first[0]))
            return _by_continuation_instead(items, item_id, f"{both} {piece}.")
        owner[first] = name
    return _by_continuation_instead(items, item_id, "no token is only about one of the options.")


def _by_continuation_instead(items: ItemSet, item_id: str, problem: str) -> BadInput:
    return BadInput(
        "Options",
        f"{_named(items, item_id)}: {problem}",
        "They can't be told apart at one position. Score them by continuation.",
    )


def _named(items: ItemSet, item_id: str) -> str:
    return f"Item {visible(item_id, _SHOWN)} of {visible(items.name, _SHOWN)}"


def _quoted(text: str) -> str:
    return f"“{visible(text, _SHOWN)}”"
