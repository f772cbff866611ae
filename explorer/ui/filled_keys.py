"""The keys that a sentence names, as they are bound on the screen that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from textual.dom import DOMNode
from textual.screen import Screen

from explorer.config.screen_options import SCREEN_DEFAULTS
from explorer.ui.key_names import drawn_key, in_glyphs
from explorer.words.bound_keys import fill_keys

UsualKeys = Mapping[str, str]


def with_keys(node: DOMNode, text: str) -> str:
    """A sentence of a screen, or of a widget on it, with the keys that this person has.

    A command is looked up on that screen and then on those under it, as a dialog may name a key of the screen below;
    at last among those of the whole app.
    """
    return fill_keys(text, lambda names: _shown(node, names))


def with_usual_keys(text: str, known: Sequence[UsualKeys]) -> str:
    """A sentence with keys from these tables, in their order, if nobody has chosen others."""
    return fill_keys(text, lambda names: _drawn(names, known, {}))


def bound_keys(node: DOMNode, name: str) -> list[str]:
    """Textual's names of the keys of a command; [""] if neither this screen nor one under it has it."""
    return _bound((name,), _usual_keys_under(node), _keymap(node)).split(",")


def _shown(node: DOMNode, names: Sequence[str]) -> str:
    look = getattr(node.app, "look", SCREEN_DEFAULTS)
    return in_glyphs(_drawn(names, _usual_keys_under(node), _keymap(node)), look.glyphs)


def _drawn(names: Sequence[str], tables: Iterable[UsualKeys], keymap: Mapping[str, str]) -> str:
    """The key as a sentence has it; the command's name if no table has it."""
    drawn = drawn_key(_bound(names, tables, keymap) or names[0])
    return drawn.capitalize() if drawn == "space" else drawn


def _bound(names: Sequence[str], tables: Iterable[UsualKeys], keymap: Mapping[str, str]) -> str:
    for table in tables:
        for name in names:
            if name in table:
                return keymap.get(name, table[name])
    return ""


def _keymap(node: DOMNode) -> Mapping[str, str]:
    return getattr(node.app, "keymap", {})


def _usual_keys_under(node: DOMNode) -> Iterator[UsualKeys]:
    own = node if isinstance(node, Screen) else node.screen
    stack = node.app.screen_stack
    top = stack.index(own) if own in stack else len(stack)
    for screen in [own, *reversed(stack[:top])]:
        if usual := getattr(screen, "USUAL_KEYS", None):
            yield usual
    yield getattr(node.app, "USUAL_KEYS", {})
