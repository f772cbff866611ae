"""Suggests the known name that a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that is closest to another word; "" if none is close."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1)
    return near[0] if near and near[0] != word else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean X?` and a space, if one of the known names is close; else ""."""
    near = nearest(word, known)
    return f"Did you mean {near}? " if near else ""
