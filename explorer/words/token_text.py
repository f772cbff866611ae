"""Shows tokens as text. A model's output is data: it can neither act on the terminal nor hide in it."""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells, split_graphemes

from probes.schema.foreign_text import mark

_ELIDED = ("\ufe0e", "\ufe0f")
"""Variation selectors: they choose a glyph and terminals disagree on its width."""
_QUOTED = re.compile(r'"[^"]*"')
_WORD = re.compile(r"\s*\S+\s*")
_HELD = "\ue000"
"""Replaces a space at which no line may break; `flowing` never leaves this character in a text."""
_UNITS = "nat|%|[kMG]?B|min|[hs]|steps?|tokens?|million|billion|trillion"
_OF_A_NUMBER = re.compile(
    rf"(?<=[\d∞]) (?=(?:{_UNITS})(?!\w))|(?<=\b[Ss]tep) (?=\d)|(?<=\bKL) (?=[\d∞])"
    r"|(?<=\b1) (?=in \d)|(?<=\b1 in) (?=\d)"
)
"""The space between a number and its unit or its name."""
_ENDS_IN_A_WORD = tuple(map(re.compile, (f"(?<={_HELD})", "(?=[+@])", "(?<=,)", "(?<=:)", "(?<=[/=])")))
"""Where a word that is longer than a line may break, the best first."""


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
    """A sentence in lines of at most `width` cells, which break between words.

    A quotation counts as one word, and so do a number and its unit. A setting that is longer than a line breaks where
    one of its parts ends, never within a number. An empty sentence has no lines.
    """
    width = max(2, width)
    held = _OF_A_NUMBER.sub(_HELD, _QUOTED.sub(lambda found: found[0].replace(" ", _HELD), sentence))
    lines, used = [""], 0
    for word in _WORD.findall(held):
        for piece in _pieces(word, width):
            if used + cell_len(piece.rstrip()) > width:
                lines.append("")
                used = 0
            lines[-1] += piece
            used += cell_len(piece)
    return [words.replace(_HELD, " ") for line in lines if (words := line.strip())]


def _pieces(word: str, width: int) -> list[str]:
    """The word, or, if it is longer than a line, pieces of it that are not."""
    if cell_len(word.rstrip()) <= width:
        return [word]
    for ends in _ENDS_IN_A_WORD:
        pieces = [piece for piece in ends.split(word) if piece]
        if len(pieces) > 1:
            return [part for piece in pieces for part in _pieces(piece, width)]
    return chop_cells(word, width)
