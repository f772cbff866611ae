"""One line that says what is being done, or how to go on."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from textual.geometry import Size

from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words.token_text import fit


class StatusLine(LineWidget):
    """Draws a line, cut where the screen ends."""

    DEFAULT_CSS = "StatusLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="status")
        self._pieces: Pieces = []

    def show_pieces(self, pieces: Pieces) -> None:
        """Draws these in place of the earlier ones."""
        pieces = [(self.with_keys(text), style) for text, style in pieces]
        if pieces != self._pieces:
            self._pieces = pieces
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        room, line = size.width, []
        for text, style in self._pieces:
            if room > 0:
                line.append((text if cell_len(text) <= room else fit(text, room), style))
                room -= cell_len(text)
        return [line]
