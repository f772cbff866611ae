"""Widgets whose lines are put together again only where something has become different.

A screen that changes in one place is put together from the lines of every widget on it. Textual keeps those lines, but
for each widget it looks up colours, titles and sizes first, which for thirty widgets is a third of all work of a step.
"""

from __future__ import annotations

from collections.abc import Collection

from textual.containers import Horizontal, Vertical
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget


class RepaintCache(Widget):
    """Gives the lines it gave before, but for those of which it was told that they have changed."""

    _given: tuple[Region, Size, list[Strip]] | None = None
    _stale: frozenset[int] | None = None
    """Which of the given lines have changed since, counted from the widget's own top; None for all of them."""

    def render_lines(self, crop: Region) -> list[Strip]:
        given, stale = self._given, self._stale
        self._stale = frozenset()  # before they are made: what changes meanwhile is stale again
        if given is None or stale is None or given[:2] != (crop, self.outer_size):
            strips = super().render_lines(crop)
        elif stale:
            strips = self.renew(given[2], crop, stale)
        else:
            return given[2]
        self._given = crop, self.outer_size, strips
        return strips

    def renew(self, strips: list[Strip], crop: Region, stale: Collection[int]) -> list[Strip]:  # noqa: ARG002
        """The lines in `crop` where those in `strips` are right but for the stale ones. `strips` may be changed."""
        return super().render_lines(crop)

    def _set_dirty(self, *regions: Region) -> None:
        """Every way to a repaint leads through here; were that to change, every picture of a screen would."""
        super()._set_dirty(*regions)
        if not regions:
            self._stale = None
        elif self._stale is not None:
            self._stale = self._stale.union(*(region.line_range for region in self._repaint_regions))


class PanelRow(Horizontal, RepaintCache):
    """A row of panels."""


class PanelColumn(Vertical, RepaintCache):
    """A column of panels."""
