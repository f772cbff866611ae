"""Tokens on a screen: whatever a model wrote is data, shown so that it can neither act nor hide."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len, split_graphemes

_PICTURES = {"\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡", "\xad": "⟨00AD⟩"}
_ELIDED = ("\ufe0e", "\ufe0f")
"""Variation selectors: they choose a glyph and terminals disagree on its width."""


def flowing(text: str) -> str:
    """The text as part of a line: controls, directions and invisible characters as marks, nothing zero-width alone."""
    if text.isascii() and text.isprintable():
        return text
    stripped = "".join(character for character in text if character not in _ELIDED)
    shown = "".join(_shown(character) for character in (stripped or text))
    return f"◌{shown}" if shown and cell_len(shown[0]) == 0 else shown


def quoted(token: str) -> str:
    """The token alone in quotation marks, so that its spaces can be seen."""
    return f'"{flowing(token)}"'


def fit(text: str, width: int) -> str:
    """The text in exactly so many cells: padded, or cut with an ellipsis; wide characters are never halved."""
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


def fit_quoted(token: str, width: int) -> str:
    """`quoted`, in exactly so many cells; a token that is cut keeps its closing mark."""
    whole = quoted(token)
    if cell_len(whole) <= width or width < 4:
        return fit(whole, width)
    return fit(fit(whole, width - 1).rstrip() + '"', width)


def _shown(character: str) -> str:
    if character in _PICTURES:
        return _PICTURES[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    kind = unicodedata.category(character)
    if kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or character in _ELIDED:
        return f"⟨{code:04X}⟩"
    if kind == "Zs":
        return " "
    return character
