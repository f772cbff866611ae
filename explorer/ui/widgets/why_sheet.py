"""The panel right of the heat strips: lines or a table, drawn by the page that is shown; it scrolls, and a row is
chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size

from explorer.state.heat import scrolled_top
from explorer.ui.messages import SublayerPointed
from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.ui.widgets.scrolled_panel import ScrolledPanel
from explorer.words.token_text import wrapped
from probes.schema.part import Part


@dataclass(frozen=True, slots=True)
class SheetLines:
    """The lines of a page at one width."""

    head: Sequence[Pieces] = ()
    """Lines that stay at the top."""
    rows: Sequence[Pieces] = ()
    parts: Sequence[Part | None] = ()
    """The sublayer of each row; empty if the page is no table."""


Drawer = Callable[[Palette, int], SheetLines]


@dataclass(frozen=True, slots=True)
class SheetPage:
    """The content of the panel."""

    title: str
    note: str
    """In the lower edge of the frame."""
    look: object
    """Pages with an equal look are drawn once."""
    draw: Drawer = field(compare=False)


class WhySheet(ScrolledPanel, NamedFigures):
    """Shows a page."""

    FIGURE_NAMES: ClassVar[Names] = {
        **{"heal ↑": "explain.heal", "KL after": "explain.kl_after", "estimate": "explain.estimate"},
        **{"damage ↓": "explain.damage", "same input": "explain.same_input", "same in.": "explain.same_input"},
        **{"accumulated": "explain.accumulated", "accum.": "explain.accumulated", "1−cos h": "h.gap"},
        **{"KL": "p.kl", "Thm 1": "h.ratio", "Thm 2": "p.cos_ratio", "Thm 3": "p.kl_ratio", "lens": "explain.lens"},
    }

    def names_in(self, line: int) -> Names:
        return self.FIGURE_NAMES if 0 <= line < len(self._sheet.head) else {}

    def __init__(self) -> None:
        super().__init__(id="sheet")
        self._page: SheetPage | None = None
        self._sheet = SheetLines()
        self._chosen: Part | None = None

    def show(self, page: SheetPage, chosen: Part | None) -> None:
        if self._page is None or page.title.split(" ")[0] != self._page.title.split(" ")[0]:
            self._top = 0
        if (page, chosen) != (self._page, self._chosen):
            self._page, self._chosen = page, chosen
            self.redraw()

    @property
    def parts(self) -> list[Part]:
        """The sublayers of the rows, in their order."""
        return [part for part in self._sheet.parts if part is not None]

    def draw(self, size: Size) -> Iterable[Pieces]:
        if self._page is None:
            return []
        page = self._page
        self.entitle(
            Text(page.title if self.has_foot or not page.note else f"{page.title} · {page.note}"), Text(page.note)
        )
        sheet = self._sheet = page.draw(self.palette, size.width)
        room = max(1, size.height - len(sheet.head))
        place = sheet.parts.index(self._chosen) if self._chosen in sheet.parts else None
        self._top = scrolled_top(self._top, place, len(sheet.rows), room)
        head = [list(line) for line in sheet.head]
        if not sheet.parts:
            return [*head, *self.lines_that_fit(sheet.rows, room)]
        rows = enumerate(sheet.rows[self._top : self._top + room], self._top)
        return [*head, *(self._marked(row, size.width) if at == place else list(row) for at, row in rows)]

    def _marked(self, row: Pieces, width: int) -> Pieces:
        """The chosen row: with an arrow, and on another ground as far as the panel goes."""
        used = sum(len(text) for text, _ in row)
        pieces = [("▸", self.palette.strong), *_without_first_cell(row), (" " * max(0, width - used), None)]
        return [(text, (style or Style()) + self.palette.selected) for text, style in pieces]

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self) if self.text_selection is None else None
        at = inside.y - len(self._sheet.head) + self._top if inside is not None else -1
        if 0 <= at < len(self._sheet.parts) and (part := self._sheet.parts[at]) is not None:
            self.post_message(SublayerPointed(part))


def paragraph(text: str, width: int, style: Style) -> list[Pieces]:
    """A sentence in lines, each one cell from the edges."""
    return [[(f" {line}", style)] for line in wrapped(text, width - 2)]


def _without_first_cell(row: Pieces) -> Pieces:
    if not row:
        return row
    (text, style), *rest = row
    return [(text[1:], style), *rest]
