"""Wraps tokens into lines of cells. New tokens are added at the end; earlier lines are not laid out again."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, split_graphemes

from explorer.words.token_text import flowing


@dataclass(frozen=True, slots=True)
class Word:
    """A token, or a part of a token that is too long for a line."""

    step: int
    """0 for the prompt."""
    text: str
    width: int
    mark: bool = False
    """True for a sign of the program, which no model wrote."""


class WordWrap:
    """Lines of words in a given width. A word of several tokens stays together if it can."""

    def __init__(self, width: int) -> None:
        self.width = max(2, width)
        self.lines: list[list[Word]] = [[]]
        self._used = 0
        self._line_of: dict[int, int] = {}

    def line_of(self, step: int) -> int:
        """The line on which a step's token begins; the last line if the step wrote nothing yet."""
        return self._line_of.get(step, len(self.lines) - 1)

    def add(self, step: int, text: str, *, mark: bool = False) -> None:
        """Appends the text of a step. An empty text adds nothing."""
        shown = text if mark else flowing(text)
        if not shown:
            return
        breaks = not mark and text.endswith(("\n", "\r"))
        self._put(step, shown, mark)
        if breaks:
            self.new_line()

    def _put(self, step: int, shown: str, mark: bool) -> None:
        size = cell_len(shown)
        if self._used + size > self.width and self._used:
            self._wrap(shown)
            if not self._used:
                shown = shown.lstrip(" ") or shown
                size = cell_len(shown)
        while size > self.width - self._used:
            head, tail = _cut(shown, self.width - self._used)
            if head:
                self._append(Word(step, head, cell_len(head), mark))
            self.new_line()
            shown, size = tail, cell_len(tail)
        if shown:
            self._append(Word(step, shown, size, mark))

    def _wrap(self, shown: str) -> None:
        """Begins a new line. If this token continues a word, the beginning of the word moves there too."""
        line = self.lines[-1]
        start = len(line)
        if not shown.startswith(" "):
            while start > 0 and not line[start - 1].text.endswith(" "):
                start -= 1
                if line[start].text.startswith(" "):
                    break
        carried = line[start:]
        if start == 0 or sum(word.width for word in carried) + cell_len(shown) > self.width:
            carried = []
        del line[len(line) - len(carried) :]
        self.new_line()
        for place, word in enumerate(carried):
            text = word.text.lstrip(" ") if place == 0 else word.text
            self._append(Word(word.step, text or word.text, cell_len(text or word.text), word.mark))

    def _append(self, word: Word) -> None:
        self.lines[-1].append(word)
        self._used += word.width
        if not word.mark:
            line = len(self.lines) - 1
            first = self._line_of.setdefault(word.step, line)
            if first < line and all(other.step != word.step for other in self.lines[first]):
                self._line_of[word.step] = line

    def new_line(self) -> None:
        self.lines.append([])
        self._used = 0


def _cut(text: str, width: int) -> tuple[str, str]:
    """The text in two, the first part at most so many cells wide. Looks no further than it must: a word may be long."""
    reach = 4 * width + 16  # characters, of which some take no cell
    while True:
        used = 0
        for start, _, cells in split_graphemes(text[:reach])[0]:
            if used + cells > width:
                return text[:start], text[start:]
            used += cells
        if reach >= len(text):
            return text, ""
        reach *= 2
