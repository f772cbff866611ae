"""A panel of lines that scrolls."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from explorer.ui.widgets.line_widget import LineWidget, Pieces


class ScrolledPanel(LineWidget, can_focus=True):
    """A subclass draws as many of its lines as fit, from `_top` on."""

    ALLOW_SELECT = True

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel")
        self._top = 0

    def scroll_rows(self, rows: int) -> None:
        """Scrolls down, or up if `rows` is negative."""
        self._top = max(0, self._top + rows)
        self.redraw()

    def lines_that_fit(self, lines: Sequence[Pieces], room: int) -> list[Pieces]:
        """The lines that fit; the last one says how many are below it."""
        self._top = max(0, min(self._top, len(lines) - room))
        shown = list(lines[self._top : self._top + room])
        if self._top + room < len(lines) and shown:
            shown[-1] = [(f" ↓ {len(lines) - self._top - room + 1} more lines", self.palette.muted)]
        return shown

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.scroll_rows(1)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.scroll_rows(-1)
        event.stop()
