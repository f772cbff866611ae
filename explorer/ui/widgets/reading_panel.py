"""The reading panel: two sentences computed from the figures of the step, and the culprit once it is known."""

from __future__ import annotations

from collections.abc import Iterable

from textual.geometry import Size

from explorer.state.view import View
from explorer.state.why_pages import culprit_sentence
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.words import sentences as reading
from explorer.words.token_text import fit, wrapped


class ReadingPanel(LineWidget, can_focus=True):
    """Two sentences about the step under the cursor."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="reading", classes="panel")
        self.entitle("reading", "")
        self._sentences = ("", "")
        self._culprit = ""
        self._brief = ""

    def show(self, view: View) -> None:
        found = reading.sentences(view.record, view.diverges_at, scored=view.scores)
        culprit = culprit_sentence(view)
        if (*found, culprit) != (*self._sentences, self._culprit):
            self._sentences, self._culprit = found, culprit
            self._brief = culprit or reading.brief(view.record)
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width, height = size
        if height == 1:
            return [[(f" {fit(self._brief, width - 1)}", self.palette.text)]]
        first, second = (wrapped(self.with_keys(sentence), width - 2) for sentence in self._sentences)
        lines: list[list[Piece]] = [[(f" {line}", self.palette.text)] for line in first]
        lines += [[(f" {line}", self.palette.strong)] for line in wrapped(self._culprit, width - 2)]
        if len(lines) + len(second) < height and second:
            lines.append([])
        lines += [[(f" {line}", self.palette.muted)] for line in second]
        if len(lines) > height:
            text, style = lines[height - 1][0] if lines[height - 1] else ("", None)
            lines[height - 1] = [(fit(f"{text} …", width), style)]
        return lines
