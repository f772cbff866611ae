"""Shows tokens as text. A model's output is data: it can neither act on the terminal nor hide in it."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from rich.cells import cell_len, split_graphemes
from rich.console import Console
from rich.text import Text

from probes.schema.foreign_text import mark

_ELIDED = ("\ufe0e", "\ufe0f")
"""Variation selectors: they choose a glyph and terminals disagree on its width."""
_QUOTED = re.compile(r'"[^"]*"')
_WORD = re.compile(r"\s*\S+\s*")
_HELD = "\ue000"
"""Replaces a space at which no line may break; `flowing` never leaves this character in a text."""


def flowing(text: str) -> str:
    """The text as part of a line: controls, directions and invisible characters as marks, nothing zero-width alone."""
    if text.isascii() and text.isprintable():
        return text
    stripped = "".join(character for character in text if character not in _ELIDED)
    shown = "".join(mark(character) for character in (stripped or text))
    return f"◌{shown}" if shown and cell_len(shown[0]) == 0 else shown


def quoted(token: str) -> str:
    """The token alone in quotation marks, so that its spaces can be seen."""
    return f'"{flowing(token)}"'


def fit(text: str, width: int) -> str:
    """The text in exactly `width` cells: padded, or cut with an ellipsis; wide characters are never halved."""
    if width <= 0:
        return ""
    size = cell_len(text)
    if size <= width:
        return text + " " * (width - size)
    kept, used = [], 0
    for start, end, cells in split_graphemes(text)[0]:
        if used + cells > width - 1:
            break
        kept.append(text[start:end])
        used += cells
    return "".join(kept) + "…" + " " * (width - 1 - used)


def fit_end(text: str, width: int) -> str:
    """The end of a text in exactly `width` cells: padded on the right, or cut on the left with an ellipsis."""
    if cell_len(text) <= width:
        return fit(text, width)
    kept, used = [], 0
    for start, end, cells in reversed(split_graphemes(text)[0]):
        if used + cells > width - 1:
            break
        kept.append(text[start:end])
        used += cells
    return fit("…" + "".join(reversed(kept)), width)


def fit_middle(text: str, width: int) -> str:
    """The text in at most `width` cells, of at least 3: its beginning and its end, with an ellipsis between them."""
    if cell_len(text) <= width:
        return text
    front = fit(text, width - width // 2).rstrip()
    return front + fit_end(text, width // 2 + 1)[1:].rstrip()


def fit_quoted(token: str, width: int) -> str:
    """The quoted token in exactly `width` cells; a token that is cut keeps its closing mark."""
    whole = quoted(token)
    if cell_len(whole) <= width or width < 4:
        return fit(whole, width)
    return fit(fit(whole, width - 1).rstrip() + '"', width)


def wrapped(sentence: str, width: int) -> list[str]:
    """A sentence in lines of at most `width` cells, which break between words; a quotation counts as one word.

    An empty sentence has no lines."""
    if not sentence:
        return []
    held = _QUOTED.sub(lambda found: found[0].replace(" ", _HELD), sentence)
    width = max(2, width)
    lines = _plainly_wrapped(held, width) or [line.plain for line in Text(held).wrap(_console(), width)]
    return [words.replace(_HELD, " ") for line in lines if (words := line.strip())]


def _plainly_wrapped(text: str, width: int) -> list[str]:
    """The lines as Rich makes them, but quicker, if every character is one cell wide and every word fits; else none."""
    if not text.replace(_HELD, " ").isprintable() or cell_len(text) != len(text):
        return []
    starts, used = [0], 0
    for word in _WORD.finditer(text):
        length = len(word[0].rstrip())
        if length > width:
            return []
        if used + length > width:
            starts.append(word.start())
            used = 0
        used += len(word[0])
    return [text[start:stop] for start, stop in pairwise([*starts, len(text)])]


@cache
def _console() -> Console:
    return Console()
