"""The tour's place on every screen: where it is, a sentence about what is seen, and the key that leads on."""

from __future__ import annotations

from collections.abc import Iterable

from textual.geometry import Size

from explorer.state.tour import STOPS, Tour, TourPage
from explorer.state.view import View
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.words.bound_keys import key_of
from explorer.words.token_text import flowing, wrapped

LOOKS = 0.2
"""Seconds between two looks at what the person has done."""
_ON, _BACK, _END = (key_of(name) for name in ("tour-on", "tour-back", "tour-end"))
_WAYS = (
    f"{_ON} does it   {_BACK} back   {_END} ends",
    f"{_ON} on  {_BACK} back  {_END} ends",
    f"{_ON} on {_BACK} back {_END} ends",
    f"{_ON} on {_BACK} back",
)
"""The keys of the tour, in more and in fewer words."""
_LAST_WAYS = (f"{_BACK} back   {_END} ends", f"{_BACK} back")
"""Those of the last stop, whose own key is named before them."""


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
        key = self.with_keys(tour.next_key(view, page))
        said = (tour.number, flowing(self.with_keys(tour.stop.tells(view))), key)
        if said != self._said:
            self._said = said
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        palette, width = self.palette, size.width - 2
        number, sentence, key = self._said
        if not number:
            return []
        dots = "".join("●" if one < number else "○" for one in range(len(STOPS)))
        title = f"  {STOPS[number - 1].title}"
        room = size.width - sum(map(len, (" tour ", dots, "   ▸ ", key))) - 2  # the last cell stays free
        known = [self.with_keys(one) for one in (_LAST_WAYS if number == len(STOPS) else _WAYS)]
        ways = next((one for one in known if len(title) + len(one) <= room), known[-1])
        room -= len(ways)
        if room < len(title):  # the keys are what a person needs
            title = ""
        head: list[Piece] = [(" tour ", palette.muted), (dots, palette.split), (title, palette.strong)]
        head += [(f"   ▸ {key}", palette.strong), (" " * max(1, room + 1 - len(title)), None), (ways, palette.muted)]
        return [head, *([(" ", None), (line, palette.text)] for line in wrapped(sentence, width)[:3])]
