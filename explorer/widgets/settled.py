"""Widgets whose lines are put together again only where something has become different.

A screen that changes in one place is put together from the lines of every widget on it. Textual keeps those lines, but
for each widget it looks up colours, titles and sizes first, which for thirty widgets is a third of all work of a step.
"""

from __future__ import annotations

from textual.containers import Horizontal, Vertical
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget


class Settled(Widget):
    """Gives the lines it gave before, until it is told that it has changed."""

    _given: tuple[Region, Size, list[Strip]] | None = None

    def render_lines(self, crop: Region) -> list[Strip]:
        given = self._given
        if given is not None and given[0] == crop and given[1] == self.outer_size:
            return given[2]
        strips = super().render_lines(crop)
        self._given = (crop, self.outer_size, strips)
        return strips

    def _set_dirty(self, *regions: Region) -> None:
        """Every way to a repaint leads through here; were that to change, every picture of a screen would."""
        self._given = None
        super()._set_dirty(*regions)


class Across(Horizontal, Settled):
    """A row of panels."""


class Down(Vertical, Settled):
    """A column of panels."""
