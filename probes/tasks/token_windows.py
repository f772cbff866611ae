"""Cuts the tokens of texts into the windows that both models read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from probes.models.prompting import begin_token
from probes.models.rotary import Rotary
from probes.models.tokens import token_ids_of
from probes.schema.errors import BadInput
from probes.schema.score import WINDOW, Scored, ScoreSettings
from probes.stepping.reading_both import longest_context
from probes.tasks.text_files import FileText


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """Tokens that are read together."""

    ids: tuple[int, ...]
    first: int
    """The place in `ids` of the first token that is scored, at least 1; all after it are scored too."""
    begun: bool = False
    """True if its first token is one that begins a text, and none of the text's own."""
    text: int = 0
    """The number of the text, from 0."""

    @property
    def scored(self) -> int:
        """How many tokens are scored."""
        return len(self.ids) - self.first


def window_settings(settings: ScoreSettings, *models: PreTrainedModel) -> ScoreSettings:
    """The settings with their defaults filled in: a window that all models can read.

    Raises `BadInput` for a window beyond their context, or one in which rotary factors change (longrope, dynamic NTK):
    one pass would read its first tokens with other factors than a context of that length has.
    """
    longest = longest_context(*models)
    length = settings.window or min(WINDOW, longest)
    if length > longest:
        message = f"A window of {length:,} tokens is beyond the models' context of {longest:,}."
        raise BadInput("Window too long", message, f"Use --window {longest} or less.")
    for rotary in map(Rotary, models):
        if rotary.scale(length) != rotary.scale(1):
            fits = max(size for size in range(1, length) if rotary.scale(size) == rotary.scale(1))
            message = f"Beyond {fits:,} tokens a model's rotary factors change with the length of its context."
            raise BadInput("Window too long", message, f"Use --window {fits} or less.")
    stride = settings.stride or length
    if stride > length:
        message = f"A stride of {stride:,} leaves out tokens between windows of {length:,}."
        raise BadInput("Stride too long", message, f"Use --stride {length} or less.")
    return replace(settings, window=length, stride=0 if settings.scored is Scored.HALF else stride)


def token_windows(
    texts: Iterable[FileText], tokenizer: PreTrainedTokenizerBase, settings: ScoreSettings
) -> Iterator[TokenWindow]:
    """The windows of all texts, in order; no window reaches over the end of a text.

    `settings` are those of `window_settings`. A text is tokenised in pieces of `PIECE` characters. Scoring new tokens,
    each window begins with the token that begins a text (`--follow text` reads the same one), if the tokenizer has one;
    without one the text's first token is read and not scored. Scoring halves, only a token that the tokenizer itself
    adds begins a window, in the place of the window's first token, and what is left after the last whole window is
    left out, all as in llama.cpp.

    Raises `BadInput` for a text without tokens or, scoring halves, without a whole window.
    """
    for number, text in enumerate(texts):
        ids, found = _Tokens(tokenizer, text), False
        halves = settings.scored is Scored.HALF
        for window in _halves(ids, settings.window) if halves else _new(ids, settings.window, settings.stride):
            found = True
            yield replace(window, text=number)
        if not found:
            what = f"not one whole window of {settings.window:,} tokens" if halves else "no token that can be scored"
            hint = "Use a shorter --window, or leave --scored half out." if halves else "Give a longer text."
            raise BadInput("Text too short", f"{text.name} has {what}.", hint)


class _Tokens:
    """The tokens of a text, in lists; `begin` is known once the first list has been asked for."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: FileText) -> None:
        self._tokenizer, self._text = tokenizer, text
        self.begin: int | None = None
        self.added = False
        """Does the tokenizer itself write `begin`?"""

    def __iter__(self) -> Iterator[list[int]]:
        for number, piece in enumerate(self._text.pieces):
            ids = token_ids_of(self._tokenizer, piece, special=False)
            if number == 0 and ids:
                self.begin = begin_token(self._tokenizer, piece, ids)
                self.added = token_ids_of(self._tokenizer, piece, special=True)[0] == self.begin
                if ids[0] == self.begin:
                    ids = ids[1:]  # the text is written with it
            yield ids


def _new(tokens: _Tokens, length: int, stride: int) -> Iterator[TokenWindow]:
    held: list[int] = []
    before = 0  # so many of the held tokens were read by the window before
    begin: tuple[int, ...] = ()
    for more in tokens:
        begin = () if tokens.begin is None else (tokens.begin,)
        room = length - len(begin)
        step = min(stride, room)
        held += more
        start = 0
        while len(held) - start >= room:
            yield _window(begin, held[start : start + room], before)
            start, before = start + step, room - step
        held = held[start:]
    if len(held) > max(before, 1 - len(begin)):
        yield _window(begin, held, before)


def _window(begin: tuple[int, ...], ids: list[int], before: int) -> TokenWindow:
    return TokenWindow((*begin, *ids), max(1, len(begin) + before), bool(begin))


def _halves(tokens: _Tokens, length: int) -> Iterator[TokenWindow]:
    held: list[int] = []
    for number, more in enumerate(tokens):
        begin = () if tokens.begin is None or not tokens.added else (tokens.begin,)
        held += (*begin, *more) if number == 0 else more
        start = 0
        while len(held) - start >= length:
            ids = held[start : start + length]
            yield TokenWindow((*begin, *ids[len(begin) :]), length // 2 + 1, bool(begin))
            start += length
        held = held[start:]
