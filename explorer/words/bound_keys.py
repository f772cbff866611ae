"""Sentences that name a key say which command they mean; the key itself is filled in where the sentence is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_OPEN, _CLOSE = "\ue001", "\ue002"
"""Private characters: foreign text never holds them when it is shown (`token_text.flowing`)."""
_NAMED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")


def key_of(*commands: str) -> str:
    """The place of a command's key in a sentence. The command has the name that it has in the config file; of several,
    the one is meant that the screen has."""
    return f"{_OPEN}{' '.join(commands)}{_CLOSE}"


def fill_keys(text: str, shown: Callable[[Sequence[str]], str]) -> str:
    """The sentence with the keys that `shown` gives for the names of commands."""
    return _NAMED.sub(lambda found: shown(found[1].split()), text) if _OPEN in text else text
