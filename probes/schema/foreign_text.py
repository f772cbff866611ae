"""Makes foreign text (configurations, file names, recordings, messages of libraries) safe to show."""

from __future__ import annotations

import re
import unicodedata

_PICTURES = {"\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡"}
_ACTING = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories of characters that control a terminal, change the direction of text, or have no glyph."""
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Variation selectors: each chooses a glyph of the character before it."""
_BLANK = re.compile(rf"[{_SELECTORS}\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
"""Invisible characters of other categories: fillers, joiners, selectors."""
_SELECTOR = re.compile(f"[{_SELECTORS}]")
_JOINER = "\u200d"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""Colours that libraries write into their messages."""
_WELL_SAID = (OSError, ValueError, RuntimeError)
"""Exceptions whose messages are sentences. For others, such as KeyError, the name is shown too."""


def visible(text: str, limit: int | None = None) -> str:
    """The text in one line, with a mark for every control or invisible character.

    Accents, CJK and emoji do not change. Text longer than `limit` characters is cut and ends with an ellipsis. Call it
    where foreign text enters the program, so that no later code needs to.
    """
    if text.isascii() and text.isprintable():
        return text if limit is None or len(text) <= limit else f"{text[: max(0, limit - 1)]}…"
    if limit is None:
        return "".join(_pieces(text))
    pieces = _pieces(text[: limit + 1])  # each character becomes one or more
    size = sum(map(len, pieces))
    if size <= limit:
        return "".join(pieces)
    while pieces and size > limit - 1:
        size -= len(pieces.pop())
    return "".join(pieces) + "…"


def said(problem: BaseException, limit: int = 600) -> str:
    """The message of a library's exception as one sentence; of a long message, its beginning and its end.

    The important line may be the first or the last, so both are kept.
    """
    lines = _STYLE.sub("", str(problem)).splitlines()
    text = visible(" ".join(filter(None, map(str.strip, lines))))
    if len(text) > limit:
        kept = limit // 2
        text = f"{text[:kept]} … {text[-kept:]}"
    if type(problem).__module__ == "builtins" and not isinstance(problem, _WELL_SAID):
        text = f"{type(problem).__name__}: {text}" if text else ""
    text = text or type(problem).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def mark(character: str) -> str:
    """The character itself, or a mark if it is a control or invisible character."""
    if character in _PICTURES:
        return _PICTURES[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    kind = unicodedata.category(character)
    if kind in _ACTING or _BLANK.match(character):
        return f"⟨{code:04X}⟩"
    return " " if kind == "Zs" else character


def _pieces(text: str) -> list[str]:
    """The text with marks, character by character; selectors and joiners stay if they are part of emoji or CJK."""
    return [
        character if " " <= character <= "~" or _belongs(text, at) else mark(character)
        for at, character in enumerate(text)
    ]


def _belongs(text: str, at: int) -> bool:
    """Is this a selector or a joiner that belongs to the characters beside it?"""
    if _SELECTOR.match(text[at]):
        return _has_glyph(text, at - 1)
    return text[at] == _JOINER and _is_pictured(text, at - 1) and _is_pictured(text, at + 1)


def _has_glyph(text: str, at: int) -> bool:
    return at >= 0 and not text[at].isspace() and mark(text[at]) == text[at]


def _is_pictured(text: str, at: int) -> bool:
    """Is it a pictograph, or a character that may be between a pictograph and a joiner?"""
    return 0 <= at < len(text) and (unicodedata.category(text[at]) in ("So", "Sk") or text[at] == "\ufe0f")
