"""The places at which a search found something, in order: the next of them, and the sentence on where the cursor is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from explorer.words.bound_keys import key_of
from explorer.words.token_text import fit_middle, flowing
from probes.schema.counting import number_of

_NEXT = key_of("step", "find-next", "family")
"""The key that goes on is that of another command where no search is open."""
_ENDS = key_of("back", "leave")
_SHOWN = 40
"""Cells of a long text in the sentence."""


class FoundPlaces:
    """Places counted from 1; they may become more."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self._jumped = 0
        """The place to which the search went last, if it began again from an end."""

    def next_from(self, cursor: int, *, forward: bool, here: bool = False) -> int | None:
        """The next place, or the one before; beyond the last one the search begins again from the other end. `here`
        takes the cursor's own place too. None if there is none."""
        found = self.places
        if not found:
            return None
        if forward:
            at = bisect_left(found, cursor) if here else bisect_right(found, cursor)
        else:
            at = bisect_left(found, cursor) - 1
        place = found[at % len(found)]
        self._jumped = place if not 0 <= at < len(found) else 0
        return place

    def sentence(self, text: str, cursor: int, one: str) -> str:
        """How often `text` is found, and which of them the cursor is at. `one` is what a place is: "step"."""
        found, text = self.places, fit_middle(flowing(text), _SHOWN)
        if not found:
            return f"{text}: found at no {one} so far. {_ENDS} ends the search."
        at = bisect_left(found, cursor)
        here = at < len(found) and found[at] == cursor
        where = f"{at + 1:,} of {len(found):,}" if here else f"found at {number_of(len(found), one)}"
        again = ""
        if here and cursor == self._jumped:
            again = ", from the start again" if at == 0 else ", from the end again"
        return f"{text}: {where}{again}. {_NEXT} next, {key_of('find-previous')} previous, {_ENDS} ends."
