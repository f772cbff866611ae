"""How many of something there are, in words."""

from __future__ import annotations


def number_of(count: int, thing: str) -> str:
    """The number and the thing, as in "1 step" and "2 steps"; the plural of `thing` ends in s."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
