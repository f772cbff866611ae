"""The base of widgets that draw their own lines. Only lines that changed are painted again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Offset, Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from explorer.ui.filled_keys import with_keys
from explorer.ui.glyphs import GlyphFilter
from explorer.ui.theme import Palette, palette
from explorer.ui.widgets.repaint_cache import RepaintCache

REVERSED = Style(reverse=True)

Words = str | Text
"""Text without any style, or with styles. A string is never read as markup."""
Piece = tuple[str, Style | None]
Pieces = list[Piece]


class FramedWidget(RepaintCache):
    """A widget with words in its frame."""

    _words: tuple[Words, Words] = ("", "")

    @property
    def has_foot(self) -> bool:
        """Has its frame a lower edge, in which a subtitle can be read?"""
        return bool(self.styles.border_bottom[0])

    def entitle(self, title: Words, subtitle: Words) -> None:
        """Sets the words. Equal ones cost no repaint, others that of their line."""
        given, self._words = self._words, (title, subtitle)
        for words, old, line, name in (
            (title, given[0], 0, "border_title"),
            (subtitle, given[1], self.outer_size.height - 1, "border_subtitle"),
        ):
            if not _differ(words, old):
                continue
            words, old = self._with_keys(words), self._with_keys(old)
            before, after = _plain(old), _plain(words)
            if before is None or after is None or not self.reword(line, name, before, after):
                with self.only_line(line):
                    setattr(self, name, Text(words) if isinstance(words, str) else words)

    def with_keys(self, text: str) -> str:
        """The sentence with the keys that are bound on this screen."""
        return with_keys(self, text)

    def _with_keys(self, words: Words) -> Words:
        plain = words if isinstance(words, str) else words.plain
        filled = with_keys(self, plain)
        return words if filled == plain else filled


class LineWidget(FramedWidget):
    """A widget whose lines come from `draw`, all at once and only when something changed."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._lines: list[Pieces] | None = None
        self._strips: dict[int, Strip] = {}
        self._drawn_for = self._inside = Size(-1, -1)
        self._corner = Offset(0, 0)
        """The place in the widget at which its content begins."""
        self._palette: Palette | None = None
        self._base: Style | None = None
        self._full: dict[Style | None, Style] = {}
        """Each piece's style on top of the base and as the terminal gets it, once it was needed."""
        self._edges: tuple[list[Strip], list[Segment], list[Segment]] | None = None
        """The segments left and right of a line's content, with the lines they are from."""
        self._glyphs: Mapping[int, str] = {}
        """Characters that are exchanged for others; known with the base."""
        self._selection: Selection | None = None
        self._pointed = False
        """Is the mouse over it? Only then does a line carry the offsets that a selection needs: they make a line much
        slower to render."""

    @property
    def palette(self) -> Palette:
        if self._palette is None:
            self._palette = palette(self.app.theme)
        return self._palette

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        """The lines, each as pieces of text with a style; as many are shown as there is room for."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draws again and asks for a repaint of the lines that differ."""
        before = self._lines
        self._lines = None
        if before is None or self._drawn_for != self.outer_size:
            self._strips.clear()
            self.refresh()
            return
        after = self._draw()
        top = self._corner.y
        changed = [
            top + y
            for y in range(self._inside.height)
            if (before[y] if y < len(before) else []) != (after[y] if y < len(after) else [])
        ]
        for y in changed:
            self._strips.pop(y - top, None)
        if changed:
            self.repaint(changed)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines = self._palette = self._base = None
        self._drawn_for = Size(-1, -1)
        self._full.clear()
        self._strips.clear()

    def restyle(self) -> None:
        """Draws everything again, in another theme's colours."""
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
        """The text that the copy key takes from this widget."""
        return "\n".join(self._text_lines()).strip("\n")

    def render_line(self, y: int) -> Strip:
        self._draw()
        if (strip := self._strips.get(y)) is None:
            strip = self._strips[y] = self._strip(y)
        return strip

    def render_lines(self, crop: Region) -> list[Strip]:
        self._rendering = True
        self._draw()  # before the frame is made, as drawing may change its words
        self._rendering = False
        return super().render_lines(crop)

    def renew(self, strips: list[Strip], crop: Region, stale: Collection[int]) -> list[Strip]:
        """Puts the old segments left and right around the new content: nothing else in a line changes."""
        (width, height), (left, top) = self._inside, self._corner
        if crop.size != self._drawn_for or not width or not height:
            return super().renew(strips, crop, stale)
        if self._edges is None or self._edges[0] is not strips:
            line = strips[top]
            self._edges = strips, list(line.crop(0, left)), list(line.crop(left + width))
        _, before, after = self._edges
        for y in stale:
            if top <= y < top + height:
                strips[y] = self._strip(y - top, before, after)
            elif 0 <= y < crop.height:
                [strips[y]] = Widget.render_lines(self, Region(0, y, crop.width, 1))
        return strips

    @property
    def inside(self) -> Size:
        """The size of the content, as `size`, but looked up only after the widget's own size or style has changed."""
        if self._drawn_for != self.outer_size:
            self._drawn_for, self._inside, self._corner = self.outer_size, self.size, self.content_offset
            self._lines = None
            self._strips.clear()
        return self._inside

    def _draw(self) -> list[Pieces]:
        inside = self.inside
        if self._lines is None:
            self._lines = [list(line) for line in self.draw(inside)]
        return self._lines

    def _strip(self, y: int, before: Iterable[Segment] = (), after: Iterable[Segment] = ()) -> Strip:
        """A line, between what is left and right of it."""
        lines, width = self._draw(), self._inside.width
        if self._base is None:
            self._base = self._filtered(self.rich_style)
            self._glyphs = next((one.table for one in self.get_line_filters() if isinstance(one, GlyphFilter)), {})
        base, full, glyphs = self._base, self._full, self._glyphs
        segments, used = [], 0
        for text, style in lines[y] if y < len(lines) else []:
            if text:
                if (whole := full.get(style)) is None:
                    whole = full[style] = self._filtered(base + style if style else base)
                if text.isascii():
                    used += len(text)
                else:
                    used += cell_len(text)
                    if glyphs:
                        text = text.translate(glyphs)
                segments.append(Segment(text, whole))
        if used < width:
            segments.append(Segment(" " * (width - used), base))
        elif used > width:
            segments = list(Strip(segments, used).crop(0, width))
        selection = self._selection
        if (selection is not None or self._pointed) and self.allow_select:
            strip = Strip(segments, width)
            if selection is not None and (span := selection.get_span(y)) is not None:
                strip = _selected(strip, span)
            segments = list(strip.apply_offsets(0, y))
        if before or after:
            return Strip([*before, *segments, *after], self._drawn_for.width)
        return Strip(segments, width)

    def _filtered(self, style: Style) -> Style:
        """A style in the colours that the terminal is given, as Textual's own filters make it."""
        background = self.background_colors[1]
        for one in self.get_line_filters():
            [segment] = one.apply([Segment("x", style)], background)
            style = segment.style or Style()
        return style

    def _text_lines(self) -> list[str]:
        return ["".join(text for text, _ in line).rstrip() for line in self._draw()]


def _differ(words: Words, other: Words) -> bool:
    if isinstance(words, str) or isinstance(other, str):
        return words != other
    return words != other or words.style != other.style  # rich compares all but the style of the whole


def _plain(words: Words) -> str | None:
    """The words alone; None if they have styles."""
    if isinstance(words, str):
        return words
    return None if words.spans or words.style else words.plain


def joined(pieces: Iterable[Piece]) -> Pieces:
    """The same line in as few pieces as its styles allow."""
    return [("".join(text for text, _ in run), style) for style, run in groupby(pieces, key=itemgetter(1))]


def _selected(strip: Strip, span: tuple[int, int]) -> Strip:
    """The strip with the cells of a selection in reverse: to be seen on every ground, and without colours."""
    start, end = span
    length = strip.cell_length
    end = length if end == -1 else min(end, length)
    if start >= end:
        return strip
    before, middle, after = strip.crop(0, start), strip.crop(start, end), strip.crop(end, length)
    chosen = Strip([Segment(segment.text, (segment.style or Style()) + REVERSED) for segment in middle])
    return Strip.join([before, chosen, after])
