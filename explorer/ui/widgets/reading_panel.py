"""The reading panel: two sentences computed from the figures of the step, and the culprit once it is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from textual.geometry import Size

from explorer.state.view import View
from explorer.state.why_pages import culprit_sentence
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.words import sentences as reading
from explorer.words.token_text import fit, wrapped

Said = tuple[str, str, str]
"""The sentence about the step, the one that names the culprit, and the one about the step's place in the run."""


class ReadingPanel(LineWidget, can_focus=True):
    """Two sentences about the step under the cursor."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="reading", classes="panel")
        self.entitle("reading", "")
        self._sentences = ("", "")
        self._culprit = ""
        self._brief = "", ""
        """Shorter: the first sentence, and the one that names the culprit."""

    def show(self, view: View) -> None:
        found = reading.sentences(view.record, view.diverges_at, scored=view.scores)
        culprit = culprit_sentence(view)
        if (*found, culprit) != (*self._sentences, self._culprit):
            self._sentences, self._culprit = found, culprit
            self._brief = reading.brief(view.record), culprit_sentence(view, tokens=False)
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width, height = size
        brief, culprit = self._brief
        if height == 1:
            line = next((one for one in (self._culprit, culprit, brief) if 0 < cell_len(one) < width), culprit or brief)
            return [[(f" {fit(line, width - 1)}", self.palette.text)]]
        first, second = self._sentences
        looks = [self._look(said, width - 2, height) for said in _shorter(first, brief, self._culprit, second)]
        lines = next((look for look in looks if len(look) <= height), looks[-1])
        if len(lines) > height:
            text, style = lines[height - 1][0] if lines[height - 1] else ("", None)
            lines[height - 1] = [(fit(f"{text} …", width), style)]
        return lines

    def _look(self, said: Said, width: int, height: int) -> list[list[Piece]]:
        """The lines of the sentences, with an empty one before the last sentence if there is room for it."""
        palette = self.palette
        first, culprit, second = (wrapped(self.with_keys(sentence), width) for sentence in said)
        lines: list[list[Piece]] = [[(f" {line}", palette.text)] for line in first]
        lines += [[(f" {line}", palette.strong)] for line in culprit]
        if len(lines) + len(second) < height and second:
            lines.append([])
        lines += [[(f" {line}", palette.muted)] for line in second]
        return lines


def _shorter(first: str, brief: str, culprit: str, second: str) -> Iterator[Said]:
    """What to say, and then ever less of it: better a short sentence or none than half of one."""
    yield first, culprit, second
    yield brief, culprit, second
    yield (first, culprit, "")
    yield (brief, culprit, "")
