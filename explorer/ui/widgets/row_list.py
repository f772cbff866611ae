"""A panel with a row a thing, of which one is chosen: it scrolls, and a click chooses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message

from explorer.state.heat import scrolled_top
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words.token_text import wrapped


class RowPointed(Message):
    """A row was clicked."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place


class RowConfirmed(Message):
    """A row was clicked twice."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place


class RowList(LineWidget, can_focus=True):
    """Draws the rows around the chosen one. A subclass says how many there are, and draws each."""

    ALLOW_SELECT = True

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel")
        self.row = 0
        self.why_empty = ""
        """The sentence in place of rows."""
        self._top = 0

    @property
    def rows(self) -> Sequence[object]:
        """What the rows are about."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def head(self, width: int) -> Sequence[Pieces]:
        """The lines above the rows."""
        raise NotImplementedError

    def line(self, place: int, width: int) -> Pieces:
        """A row. Its first cell is left free for the mark of the chosen one."""
        raise NotImplementedError

    def row_text(self) -> str:
        """The chosen row as text: the one of a table that is copied in rows, else as it is drawn."""
        if not self.count:
            return ""
        lines = self.copy_text().splitlines()
        if len(lines) == self.count + 1 and "\t" in lines[0]:
            return f"{lines[0]}\n{lines[self.row + 1]}\n"
        return "".join(text for text, _ in self.line(self.row, self.size.width)).strip() + "\n"

    def move_to(self, row: int) -> None:
        """Chooses a row, or the one nearest to it that there is."""
        row = max(0, min(row, self.count - 1))
        if row != self.row:
            self.row = row
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        width, height = size
        if not self.count:
            return [[(f" {line}", self.palette.muted)] for line in wrapped(self.with_keys(self.why_empty), width - 2)]
        self.row = min(self.row, self.count - 1)
        lines = list(self.head(width))
        room = max(1, height - len(lines))
        self._top = scrolled_top(self._top, self.row, self.count, room)
        for place in range(self._top, min(self.count, self._top + room)):
            line = self.line(place, width)
            lines.append(self._marked(line, width) if place == self.row else line)
        return lines

    def _marked(self, row: Pieces, width: int) -> Pieces:
        """The chosen row: with an arrow, and on another ground as far as the panel goes."""
        used = sum(cell_len(text) for text, _ in row)
        (text, style), *rest = row or [(" ", None)]
        pieces = [("▸", self.palette.strong), (text[1:], style), *rest, (" " * max(0, width - used), None)]
        return [(text, (style or Style()) + self.palette.selected) for text, style in pieces]

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self) if self.text_selection is None else None
        if inside is None or not self.count:
            return
        place = self._top + inside.y - len(self.head(self.size.width))
        if inside.y >= len(self.head(self.size.width)) and place < self.count:
            self.post_message(RowConfirmed(place) if event.chain == 2 else RowPointed(place))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(1)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(-1)
        event.stop()

    def _scroll(self, rows: int) -> None:
        if self.count:
            self.post_message(RowPointed(max(0, min(self.row + rows, self.count - 1))))
