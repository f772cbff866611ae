"""How many of something there are, in words."""

from __future__ import annotations


def number_of(count: int, thing: str) -> str:
    """The number and the thing, as in "1 step" and "2 steps"; the plural of `thing` ends in s."""
    return f"{count} {noun_for(count, thing)}"


def noun_for(count: int, thing: str) -> str:
    """The thing without its number: "step" for one, "steps" for any other number."""
    return thing if count == 1 else f"{thing}s"
