"""Text that others wrote (configurations, file names, recordings, messages of libraries), made safe to show."""

from __future__ import annotations

import re
import unicodedata

_PICTURES = {"\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡"}
_ACTING = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's kinds that steer a terminal, turn the direction of text, or have no glyph of their own."""
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Variation selectors: each chooses a glyph of the character before it."""
_BLANK = re.compile(rf"[{_SELECTORS}\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
"""Characters of other kinds that show nothing: letters that fill, joiners, selectors."""
_SELECTOR = re.compile(f"[{_SELECTORS}]")
_JOINER = "\u200d"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""Colours that libraries write into their messages."""
_WELL_SAID = (OSError, ValueError, RuntimeError)
"""Exceptions whose messages are sentences; of others, such as KeyError, the name says more than the message."""


def visible(text: str, limit: int | None = None) -> str:
    """The text in one line, with every character that acts on a terminal or can't be seen shown as a mark.

    Accents, CJK and emoji stay as they are. More than `limit` characters are cut, and an ellipsis says so. Apply it
    where such text enters, so that it can be shown, written and exported without another thought.
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
    """What a library's exception says, as one sentence: whole if it is short, else its beginning and its end.

    The line that says what is wrong may be the first or the last, so both stay.
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
    """What stands for a single character: itself, or a mark if it acts or can't be seen."""
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
    """Marks character by character, but for selectors and joiners where emoji and CJK have them."""
    return [
        character if " " <= character <= "~" or _belongs(text, at) else mark(character)
        for at, character in enumerate(text)
    ]


def _belongs(text: str, at: int) -> bool:
    """Is this a selector or a joiner where it has a use?"""
    if _SELECTOR.match(text[at]):
        return _has_glyph(text, at - 1)
    return text[at] == _JOINER and _is_pictured(text, at - 1) and _is_pictured(text, at + 1)


def _has_glyph(text: str, at: int) -> bool:
    return at >= 0 and not text[at].isspace() and mark(text[at]) == text[at]


def _is_pictured(text: str, at: int) -> bool:
    """A picture, or what is allowed between a picture and a joiner."""
    return 0 <= at < len(text) and (unicodedata.category(text[at]) in ("So", "Sk") or text[at] == "\ufe0f")
