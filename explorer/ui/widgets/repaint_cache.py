"""The one place that overrides private parts of Textual: a cache of rendered lines.

A screen that changes in one place is composed from the lines of every widget on it. Textual keeps those lines, but for
each widget it first looks up colours, titles and sizes. With this cache the work of a step is about half, at 120 × 36
(`python -m explorer.bench.interface`). `PHIER_REPAINT_CACHE=0` switches it off: everything works, only slower.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import ClassVar

from textual.containers import Horizontal, Vertical
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

VARIABLE = "PHIER_REPAINT_CACHE"
"""The environment variable that switches the cache off if it is 0."""


class RepaintCache(Widget):
    """Caches rendered lines and renders again only those marked dirty."""

    CACHED: ClassVar[bool] = os.environ.get(VARIABLE) != "0"
    """If False, Textual renders as usual, and nothing here uses its private parts."""

    _given: tuple[Region, Size, list[Strip]] | None = None
    """The lines rendered last, with the region they cover and the size of the widget."""
    _stale: frozenset[int] | None = None
    """The lines that changed since, counted from the widget's own top; None for all of them."""
    _only: int | None = None
    """The only line that changes while `only_line` lasts."""

    def render_lines(self, crop: Region) -> list[Strip]:
        if not self.CACHED:
            return super().render_lines(crop)
        given, stale = self._given, self._stale
        self._stale = frozenset()  # before they are rendered: a change meanwhile makes a line stale again
        if given is None or stale is None or given[:2] != (crop, self.outer_size):
            strips = super().render_lines(crop)
        elif stale:
            strips = self.renew(given[2], crop, stale)
        else:
            return given[2]
        self._given = crop, self.outer_size, strips
        return strips

    def renew(self, strips: list[Strip], crop: Region, stale: Collection[int]) -> list[Strip]:  # noqa: ARG002
        """The lines in `crop`, of which `strips` has all but the stale ones. `strips` may be changed."""
        return super().render_lines(crop)

    @contextmanager
    def only_line(self, line: int) -> Iterator[None]:
        """A repaint asked for in this context is one of this line, even if Textual would repaint the whole widget."""
        self._only = line
        try:
            yield
        finally:
            self._only = None

    def _set_dirty(self, *regions: Region) -> None:
        """Every repaint passes through here. If Textual changed that, every snapshot of a screen would fail."""
        if not self.CACHED:
            super()._set_dirty(*regions)
            return
        if self._only is not None and not regions:
            regions = (Region(0, self._only, self.outer_size.width, 1).translate(-self.content_offset),)
        super()._set_dirty(*regions)
        if not regions:
            self._stale = None
        elif self._stale is not None:
            self._stale = self._stale.union(*(region.line_range for region in self._repaint_regions))


class PanelRow(Horizontal, RepaintCache):
    """A row of panels."""


class PanelColumn(Vertical, RepaintCache):
    """A column of panels."""
