"""Panels on which names of figures can be clicked: each opens its definition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.geometry import Region
from textual.widget import Widget

from explorer.ui.messages import FigurePointed

TITLE = -1
"""The line of the frame that has the title."""
Names = Mapping[str, str]
"""The keys of definitions by the names that a panel shows."""


class NamedFigures(Widget):
    """A panel that says which of its words are names of figures. It is mixed in behind what takes the focus."""

    FIGURE_NAMES: ClassVar[Names] = {}

    def names_in(self, line: int) -> Names:
        """The names that may be in a line of its content, from 0, or in its `TITLE`."""
        return self.FIGURE_NAMES if line != TITLE else {}

    @property
    def figure_keys(self) -> Sequence[str]:
        """The keys of its figures."""
        return tuple(dict.fromkeys(self.FIGURE_NAMES.values()))

    def on_click(self, event: events.Click) -> None:
        if event.widget is self and self.text_selection is None and (key := self._figure_at(event.x, event.y)):
            self.post_message(FigurePointed(key))

    def _figure_at(self, x: int, y: int) -> str:
        """The key of the name that is drawn in a cell; "" if there is none. The longest name wins."""
        top = 1 if self.styles.border_top[0] else 0
        names = self.names_in(y - top)
        if not names or y >= self.outer_size.height - bool(self.styles.border_bottom[0]):
            return ""
        [strip] = Widget.render_lines(self, Region(0, y, self.outer_size.width, 1))
        for name in sorted(names, key=len, reverse=True):
            for found in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", strip.text):
                if cell_len(strip.text[: found.start()]) <= x < cell_len(strip.text[: found.end()]):
                    return names[name]
        return ""
