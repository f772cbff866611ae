"""Finds the passages of texts, or the prompts of a set, at which two models differ most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from probes.models.tokens import TextStream, TokenDecoder
from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.items import ItemSet
from probes.schema.passages import Order, Passage, Passages
from probes.schema.score import ScoreSettings
from probes.system.progress import UNWATCHED, Work
from probes.tasks.item_files import item_set, shipped_names
from probes.tasks.position_sums import PositionFigures
from probes.tasks.scored_models import scored_pair
from probes.tasks.scored_windows import score_windows
from probes.tasks.text_files import FileText, read_files, text_files
from probes.tasks.token_windows import TokenWindow, token_windows, window_settings

LENGTH = 64
"""The most tokens of a passage."""
_BACK = 16
"""So many tokens before that, a passage ends at the beginning of a word if there is one."""
AT_ONCE = 256
"""Tokens of one pass, so that stepping has its turn soon."""


def find_passages(
    pair: Pair, where: str, order: Order = "mean_kl", most: int = 50, work: Work = UNWATCHED
) -> Iterator[Passages]:
    """The passages of `where` at which the models of a pair differ most, in lists that improve; the last is final.

    `where` names a file or a folder of texts (`text_files`), or a set of items that ships, by its texts. Texts are read
    in windows of 512 tokens, or the models' context, a quarter of which is context from the window before, and cut into
    passages of at most `LENGTH` tokens. A passage's figures are about the tokens at which both models are finite; one
    without any is left out. The work is checked between two short passes, and the models are used at no other time.

    Raises `BadInput` for what can't be read, `Failure` if memory runs out, and `Cancelled`.
    """
    check_most(most)
    texts = _texts(where)
    models = scored_pair(pair)
    both = pair.dense.model, pair.pruned.model
    length = window_settings(ScoreSettings(), *both).window
    settings = window_settings(ScoreSettings(window=length, stride=max(1, 3 * length // 4)), *both)
    tokens = TokenDecoder(pair.dense.tokenizer)
    opened: list[FileText] = []

    def noted() -> Iterator[FileText]:
        for text in texts():
            opened.append(text)
            yield text

    total = 0
    for window in token_windows(texts(), pair.dense.tokenizer, settings):
        models.check_known(window)
        total += len(window.ids)
        work.check("Reading the texts")
    found = _Found(order, most)
    windows = token_windows(noted(), pair.dense.tokenizer, settings)
    cut = _Cutter(tokens, opened)
    for chunk in score_windows(
        models.reader, models.seconds, windows, models.vocabulary, work, at_once=AT_ONCE, total=total
    ):
        start = 0
        for window in chunk.windows:
            found.tokens += window.scored
            for passage in cut(window, chunk.figures[0][start : start + window.scored]):
                found.add(passage)
            start += window.scored
        yield found.passages(pair.every_note)


def check_most(most: int) -> None:
    """Raises `BadInput` for a number of passages that can't be listed."""
    if most < 1:
        raise BadInput("Passages", f"{most} passages can't be listed.", "Ask for 1 or more.")


def _texts(where: str) -> Callable[[], Iterator[FileText]]:
    if where in shipped_names():
        items = item_set(where)
        return lambda: _prompts(items)
    paths = text_files([where])
    return lambda: read_files(paths)


def _prompts(items: ItemSet) -> Iterator[FileText]:
    """The texts of a set, each by its number from 1."""
    texts = [(one.id, one.question) for one in items.questions] + [(one.id, one.prompt) for one in items.prompts]
    if items.collection is not None:
        texts += [(document.id, document.text) for document in items.collection.documents]
        texts += [(query.id, query.text) for query in items.collection.queries]
    for number, (name, text) in enumerate(texts, 1):
        yield FileText(Path(items.name), number, iter([text]), name)


class _Cutter:
    """Cuts the scored tokens of windows into passages, with the text before each."""

    def __init__(self, tokens: TokenDecoder, texts: Sequence[FileText]) -> None:
        self._tokens, self._texts = tokens, texts
        self._text = -1
        self._stream: TextStream = tokens.stream()
        self._characters = 0

    def __call__(self, window: TokenWindow, figures: PositionFigures) -> Iterator[Passage]:
        ids, text = window.ids, self._texts[window.text]
        if window.text != self._text:
            self._text, self._stream, self._characters = window.text, self._tokens.stream(), 0
            if not window.begun:  # the text's first token is read, and not scored
                self._characters += len(self._stream.push(ids[0]))
        first = window.first
        while first < len(ids):
            end = self._end(ids, first)
            pieces = [self._stream.push(token) for token in ids[first:end]]
            place = text.line or self._characters
            self._characters += sum(map(len, pieces))
            rows = slice(first - window.first, end - window.first)
            alone = first == 1 and window.begun
            context = "" if alone else self._read(ids[:first])
            passage = _passage(text, place, context, pieces, figures[rows])
            if passage is not None:
                yield passage
            first = end

    def _end(self, ids: Sequence[int], first: int) -> int:
        last = first + LENGTH
        if last >= len(ids):
            return len(ids)
        words = (end for end in range(last, last - _BACK, -1) if self._tokens.piece(ids[end])[:1].isspace())
        return next(words, last)

    def _read(self, ids: Sequence[int]) -> str:
        stream = self._tokens.stream()
        return "".join(map(stream.push, ids))


def _passage(
    text: FileText, place: int, context: str, pieces: Sequence[str], figures: PositionFigures
) -> Passage | None:
    """None if the models are finite at none of its tokens."""
    whole = np.isfinite(figures.kl)
    if not whole.any():
        return None
    worst = int(np.nanargmax(figures.kl))
    splits = np.flatnonzero(figures.same_top == 0)
    before = sum(map(len, pieces[:worst]))
    return Passage(
        source=text.path.name,
        place=place,
        context=context,
        text="".join(pieces),
        steps=int(whole.sum()),
        mean_kl=float(figures.kl[whole].mean()),
        max_kl=float(figures.kl[worst]),
        max_kl_at=worst + 1,
        first_split=int(splits[0]) + 1 if len(splits) else None,
        agree_rate=float(figures.same_top[whole].mean()),
        dp=float((np.exp(figures.log_q[whole]) - np.exp(figures.log_p[whole])).mean()),
        rank_change=float(figures.rank[whole].max()) - 1,
        worst=(before, before + len(pieces[worst])),
        lined=bool(text.line),
        item=text.item,
    )


_KEYS: dict[Order, Callable[[Passage], float]] = {
    "mean_kl": lambda one: -one.mean_kl,
    "max_kl": lambda one: -one.max_kl,
    "first_split": lambda one: one.first_split or math.inf,
    "dp": lambda one: -abs(one.dp),
    "rank_change": lambda one: -one.rank_change,
}


@dataclass(slots=True)
class _Found:
    """The most different passages so far."""

    order: Order
    most: int
    scored: int = 0
    tokens: int = 0
    _rows: list[Passage] = field(default_factory=list)

    def add(self, passage: Passage) -> None:
        self.scored += 1
        self._rows.append(passage)
        if len(self._rows) >= 2 * self.most:
            self._sort()

    def passages(self, notes: tuple[str, ...]) -> Passages:
        self._sort()
        return Passages(self.order, tuple(self._rows), self.scored, self.tokens, notes)

    def _sort(self) -> None:
        key = _KEYS[self.order]
        self._rows.sort(key=lambda one: (key(one), -one.mean_kl, one.source, one.place))
        del self._rows[self.most :]
