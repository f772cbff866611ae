"""The known name that a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean X?` and a space, if one of the known names is close; else ""."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1)
    return f"Did you mean {near[0]}? " if near and near[0] != word else ""
