"""The base of widgets that draw their own lines, repainting only those that became different."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip

from explorer.theme import Palette, palette
from explorer.widgets.settled import Settled

Piece = tuple[str, Style | None]
Pieces = list[Piece]


class Framed(Settled):
    """A widget with words in its frame."""

    _words: tuple[Text, Text] = (Text(), Text())

    def entitle(self, title: Text, subtitle: Text) -> None:
        """Sets the words; they are text and never markup, and equal ones cost no repaint."""
        if (title, subtitle) != self._words:
            self._words = (title, subtitle)
            self.border_title, self.border_subtitle = title, subtitle


class Drawn(Framed):
    """A widget whose lines come from `draw`, all at once and only when something changed."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._lines: list[Pieces] | None = None
        self._strips: dict[int, Strip] = {}
        self._drawn_for = self._inside = Size(-1, -1)
        self._palette: Palette | None = None
        self._base: Style | None = None
        self._full: dict[Style | None, Style] = {}
        """Each piece's style on top of the base, once it was needed."""
        self._selection: Selection | None = None
        self._pointed = False
        """Is the mouse over it? Only then does a line carry the places that a selection is made of: they are a good
        part of what a line costs."""

    @property
    def palette(self) -> Palette:
        if self._palette is None:
            self._palette = palette(self.app.theme)
        return self._palette

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        """The lines, each as pieces of text with a style; as many are shown as there is room for."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draws anew and asks for a repaint of the lines that are different."""
        before = self._lines
        self._lines = None
        if before is None or self._drawn_for != self.outer_size:
            self._strips.clear()
            self.refresh()
            return
        after = self._draw()
        width, height = self._inside
        changed = [
            y for y in range(height) if (before[y] if y < len(before) else []) != (after[y] if y < len(after) else [])
        ]
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines = self._palette = self._base = None
        self._full.clear()
        self._strips.clear()

    def restyle(self) -> None:
        """Draws everything anew, in another theme's colours."""
        self.notify_style_update()
        self.refresh()

    def on_enter(self) -> None:
        if not self._pointed:
            self._pointed = True
            if self.allow_select:
                self._strips.clear()
                self.refresh()

    def on_leave(self) -> None:
        self._pointed = False

    def selection_updated(self, selection: Selection | None) -> None:
        self._selection = selection
        self._strips.clear()
        super().selection_updated(selection)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract("\n".join(self._text_lines())), "\n"

    def copy_text(self) -> str:
        """What the copy key takes from this widget."""
        return "\n".join(self._text_lines()).strip("\n")

    def render_line(self, y: int) -> Strip:
        lines = self._draw()
        if (strip := self._strips.get(y)) is None:
            strip = self._strips[y] = self._strip(lines[y] if y < len(lines) else [], y)
        return strip

    def _draw(self) -> list[Pieces]:
        if self._lines is None or self._drawn_for != self.outer_size:
            self._drawn_for, self._inside = self.outer_size, self.size
            self._lines = [list(line) for line in self.draw(self._inside)]
            self._strips.clear()
        return self._lines

    def _strip(self, pieces: Pieces, y: int) -> Strip:
        width = self._inside.width
        if self._base is None:
            self._base = self.rich_style
        base, full = self._base, self._full
        segments, used = [], 0
        for text, style in pieces:
            if text:
                if (whole := full.get(style)) is None:
                    whole = full[style] = base + style if style else base
                segments.append(Segment(text, whole))
                used += len(text) if text.isascii() else cell_len(text)
        if used < width:
            segments.append(Segment(" " * (width - used), base))
        strip = Strip(segments, max(used, width))
        if used > width:
            strip = strip.crop(0, width)
        selection = self._selection
        if selection is None and not self._pointed:
            return strip
        if not self.allow_select:
            return strip
        if selection is not None and (span := selection.get_span(y)) is not None:
            strip = _selected(strip, span, self.screen.get_component_rich_style("screen--selection"))
        return strip.apply_offsets(0, y)

    def _text_lines(self) -> list[str]:
        return ["".join(text for text, _ in line).rstrip() for line in self._draw()]


def _selected(strip: Strip, span: tuple[int, int], style: Style) -> Strip:
    """The strip with the cells of a selection in its style."""
    start, end = span
    length = strip.cell_length
    end = length if end == -1 else min(end, length)
    if start >= end:
        return strip
    before, middle, after = strip.crop(0, start), strip.crop(start, end), strip.crop(end, length)
    chosen = Strip([Segment(segment.text, (segment.style or Style()) + style) for segment in middle])
    return Strip.join([before, chosen, after])
