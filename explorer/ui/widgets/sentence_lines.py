"""A sentence in the lines that it has room for; it ends with an ellipsis if that is too few."""

from __future__ import annotations

from collections.abc import Iterable

from textual.geometry import Size

from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words.token_text import fit, wrapped


class SentenceLines(LineWidget):
    """Shows a sentence."""

    ALLOW_SELECT = True

    def __init__(self, name: str, *, strong: bool = False) -> None:
        """`name` is its id. A strong sentence is the answer that a person came for."""
        super().__init__(id=name)
        self._sentence = ""
        self._strong = strong

    def show(self, sentence: str) -> None:
        if sentence != self._sentence:
            self._sentence = sentence
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        lines = wrapped(self.with_keys(self._sentence), size.width - 2)
        if len(lines) > size.height:
            lines[size.height - 1 :] = [fit(" ".join(lines[size.height - 1 :]), size.width - 2)]
        style = self.palette.strong if self._strong else self.palette.text
        return [[(f" {line}", style)] for line in lines]
