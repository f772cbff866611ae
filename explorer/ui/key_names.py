"""Names of keys and of what they do: as Textual has them, as a config file has them, and as a person reads them."""

from __future__ import annotations

import unicodedata
from functools import cache

from textual.keys import Keys, format_key

from explorer.config.screen_options import GlyphSet

RESERVED = {"tab", "shift+tab", "ctrl+p", "ctrl+q", "ctrl+c"}
"""Keys that Textual or the whole program acts on."""
_DRAWN = {
    **{"left": "←", "right": "→", "up": "↑", "down": "↓", "enter": "⏎", "backspace": "⌫", "minus": "−"},
    **{"escape": "Esc", "pageup": "PgUp", "pagedown": "PgDn", "home": "Home", "end": "End", "delete": "Del"},
    **{"space": "space", "tab": "Tab", "insert": "Ins"},
}
_SPELT = str.maketrans(
    {"←": "Left", "→": "Right", "↑": "Up", "↓": "Down", "⏎": "Enter", "⌫": "Backspace", "−": "-", "·": "-"}
)
_EDITING = {
    "space",
    "backspace",
    "delete",
    "left",
    "right",
    "home",
    "end",
    "enter",
    "minus",
    "plus",
    "slash",
    "underscore",
}
_MODIFIERS = ("ctrl", "alt", "shift", "super", "meta", "hyper")


def command_id(action: str, keys: str) -> str:
    """The name of what a key does, for a config file: the action, and the usual key if the action has a parameter."""
    name, _, given = action.removeprefix("app.").removeprefix("screen.").partition("(")
    return (f"{name}-{keys.partition(',')[0]}" if given else name).replace("_", "-")


def textual_keys(written: str) -> str:
    """Textual's names of keys that are separated by commas. Raises ValueError with the first that is no key.

    A capital letter has two: some terminals send Shift with the letter.
    """
    return ",".join(_textual_key(key.strip()) for key in written.split(","))


def written_keys(keys: str) -> list[str]:
    """The keys as a person writes them into a config file."""
    found = [key if key in _names() and key in _DRAWN else format_key(key) for key in keys.split(",")]
    plain = [text if len(text) == 1 else key for text, key in zip(found, keys.split(","), strict=True)]
    return [key for key in plain if not (key.startswith("shift+") and key[6:].upper() in plain)]


def drawn_key(keys: str) -> str:
    """The first of the keys as the key line has it."""
    *held, key = keys.partition(",")[0].split("+")
    drawn = _DRAWN.get(key) or (key.upper() if held or _is_function_key(key) else format_key(key))
    return "+".join([*(one.capitalize() for one in held), drawn])


def in_glyphs(shown: str, glyphs: GlyphSet) -> str:
    """Drawn keys, spelt out if only ASCII may be used."""
    return shown.translate(_SPELT) if glyphs is GlyphSet.ASCII else shown


def is_text(key: str) -> bool:
    """Would a field take the key, as a text or to edit it?"""
    return "+" not in key and (len(key) == 1 or key in _EDITING or key.replace("_", " ").upper() in _unicode_names())


@cache
def key_names() -> tuple[str, ...]:
    """The names of keys that are not characters, for suggestions."""
    return tuple(sorted(name for name in _names() if len(name) > 1 and not name.startswith("<")))


@cache
def _names() -> frozenset[str]:
    return frozenset(str(one.value) for one in Keys)


def _textual_key(key: str) -> str:
    if len(key) == 1 and key.isprintable():
        if key.isalnum():
            return f"{key},shift+{key.lower()}" if key.isupper() else key
        name = {" ": "space", "-": "minus", "+": "plus", "/": "slash", "_": "underscore", ".": "full_stop"}.get(key)
        return name or unicodedata.name(key).lower().replace("-", "_").replace(" ", "_")
    lower = key.lower()
    *held, last = lower.split("+")
    if lower in _names() or (held and all(one in _MODIFIERS for one in held) and (last in _names() or len(last) == 1)):
        return lower
    if not held and last.upper().replace("_", " ") in _unicode_names():
        return last
    raise ValueError(key)


@cache
def _unicode_names() -> frozenset[str]:
    return frozenset(unicodedata.name(chr(code)).replace("-", " ") for code in range(33, 127))


def _is_function_key(key: str) -> bool:
    return key[:1] == "f" and key[1:].isdigit()
