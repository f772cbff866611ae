"""The tour's place on every screen: where it is, a sentence about what is seen, and the key that leads on."""

from __future__ import annotations

from collections.abc import Iterable

from textual.geometry import Size

from explorer.state.tour import STOPS, Tour, TourPage
from explorer.state.view import View
from explorer.ui.commands import TOUR_KEYS
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.words.token_text import flowing, wrapped

LOOKS = 0.2
"""Seconds between two looks at what the person has done."""


class TourStrip(LineWidget):
    """Draws the stop, and paints nothing if nothing has changed."""

    DEFAULT_CSS = "TourStrip { height: 4; dock: bottom; margin-bottom: 1; background: $panel; }"

    def __init__(self, tour: Tour) -> None:
        super().__init__(id="tour")
        self._tour = tour
        self._said: tuple[int, str, str] = (0, "", "")

    def look(self, view: View, page: TourPage) -> None:
        """Goes on if the key of the stop has done its work, and says what is to be said now."""
        tour = self._tour
        tour.notice(view, page)
        said = (tour.number, flowing(self.with_keys(tour.stop.tells(view))), self.with_keys(tour.next_key(view)))
        if said != self._said:
            self._said = said
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        palette, width = self.palette, size.width - 2
        number, sentence, key = self._said
        if not number:
            return []
        head: list[Piece] = [
            (" tour ", palette.muted),
            ("".join("●" if one < number else "○" for one in range(len(STOPS))), palette.split),
            (f"  {STOPS[number - 1].title}", palette.strong),
            (f"   ▸ {key}", palette.strong),
        ]
        ways = f"> does it   < back   {TOUR_KEYS[-1][0]} ends"
        used = sum(len(text) for text, _ in head)
        if used + len(ways) + 2 <= size.width:
            head += [(" " * (size.width - used - len(ways) - 1), None), (ways, palette.muted)]
        return [head, *([(" ", None), (line, palette.text)] for line in wrapped(sentence, width)[:3])]
