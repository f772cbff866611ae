"""A canvas of characters: lines of braille dots between any two points, and text over them."""

from __future__ import annotations

from rich.style import Style

from explorer.ui.widgets.braille import BRAILLE, DOTS, SOLID, Dash
from explorer.ui.widgets.line_widget import Pieces, joined

ACROSS, DOWN = 2, 4
"""Dots of a character in a line and in a column."""


class DotCanvas:
    """Draws in dots, counted from the top left, and writes in characters."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._styles: list[list[Style | None]] = [[None] * width for _ in range(height)]
        self._text: list[list[str]] = [[""] * width for _ in range(height)]
        self._grounds: dict[int, Style] = {}

    def dot(self, x: int, y: int, style: Style) -> None:
        """Sets a dot; one outside is left out."""
        column, row = x // ACROSS, y // DOWN
        if 0 <= column < self.width and 0 <= row < self.height:
            self._bits[row][column] |= DOTS[x % ACROSS][y % DOWN]
            self._styles[row][column] = style

    def line(self, start: tuple[int, int], end: tuple[int, int], style: Style, dash: Dash = SOLID) -> None:
        """Joins two dots by a straight line."""
        (x, y), (to_x, to_y) = start, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        drawn, left_out = dash
        for step in range(steps + 1):
            if step % (drawn + left_out) < drawn:
                self.dot(x + round((to_x - x) * step / steps), y + round((to_y - y) * step / steps), style)

    def write(self, x: int, y: int, text: str, style: Style, *, under: bool = False) -> None:
        """Writes over the dots at a character's place; `under` writes only where nothing is yet."""
        if not 0 <= y < self.height:
            return
        for at, character in enumerate(text, x):
            if 0 <= at < self.width and not (under and self.taken(at, y)):
                self._text[y][at], self._styles[y][at] = character, style

    def taken(self, x: int, y: int) -> bool:
        """Is there a dot or a character at this place?"""
        return bool(self._bits[y][x] or self._text[y][x])

    def ground(self, x: int, style: Style) -> None:
        """Gives a column of characters another ground."""
        if 0 <= x < self.width:
            self._grounds[x] = style

    def rows(self) -> list[Pieces]:
        """The lines from top to bottom."""
        return [self._row(y) for y in range(self.height)]

    def _row(self, y: int) -> Pieces:
        pieces: Pieces = []
        for x in range(self.width):
            character = self._text[y][x] or (BRAILLE[self._bits[y][x]] if self._bits[y][x] else " ")
            style, ground = self._styles[y][x], self._grounds.get(x)
            pieces.append((character, (style or Style()) + ground if ground is not None else style))
        return joined(pieces)
