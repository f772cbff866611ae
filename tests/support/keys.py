"""Sentences with the keys that nobody has changed."""

from __future__ import annotations

from explorer.ui.filled_keys import with_usual_keys
from explorer.ui.screens.main import MainScreen


def usual(text: str) -> str:
    """A sentence of the main screen."""
    return with_usual_keys(text, [MainScreen.USUAL_KEYS])
