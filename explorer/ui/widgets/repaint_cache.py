"""A cache of rendered lines. With `line_compositor.py` the only place that overrides private parts of Textual.

A screen that changes in one place is composed from the lines of every widget on it. Textual keeps those lines, but for
each widget it first looks up colours, titles and sizes. With this cache the work of a step is about a third, at
120 × 36 (`python -m explorer.bench.interface`). `PHIER_REPAINT_CACHE=0` switches it off: everything works, only slower.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.dom import NoScreen
from textual.geometry import Region, Size
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

LEAST_GAP = 1 / 60
"""Seconds between two paints."""
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

    _painted_on: Screen[object] | None = None
    """Its screen, once it was looked up."""
    _rendering = False
    """Is it being rendered? The screen then forgets at once which widgets changed, unless they tell it in messages."""

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

    def repaint(self, lines: Collection[int]) -> None:
        """Asks for a repaint of these lines, counted from the widget's own top."""
        if not self.CACHED or not self._is_seen:
            self.refresh(*(Region(0, line, self.outer_size.width, 1).translate(-self.content_offset) for line in lines))
            return
        if self._stale is not None:
            self._stale = self._stale.union(lines)
        self._send(lines)

    def reword(self, line: int, name: str, before: str, after: str) -> bool:
        """Puts other words of the same width into a line of the frame that is rendered already; `name` is Textual's
        for them. False, without any change, if the line has to be rendered."""
        given, stale = self._given, self._stale
        if not self.CACHED or self._rendering or given is None or stale is None or line in stale:
            return False
        (left, top, width, height), size, strips = given
        if left or top or (width, height) != size or size != self._size or not self._is_seen:
            return False
        strip = strips[line]
        segments = list(strip)
        found = [place for place, segment in enumerate(segments) if segment.text.strip() == before]
        if len(found) != 1 or not after.isprintable() or cell_len(before) != cell_len(after) or not after.strip():
            return False
        old = segments[found[0]]
        segments[found[0]] = Segment(old.text.replace(before, after), old.style, old.control)
        strips[line] = Strip(segments, strip.cell_length)
        setattr(self, f"_{name}", Content(after))
        self._send((line,))
        return True

    def _send(self, lines: Collection[int]) -> None:
        """Has these lines sent to the terminal with the next update.

        Textual passes such a wish on in messages through the queues of the widget and of its screen; with a dozen
        panels they take longer than the drawing. Here it reaches the screen at once.
        """
        regions = [Region(0, line, self._size.width, 1) for line in lines]
        self._repaint_regions.update(regions)
        self._styles_cache.set_dirty(*regions)
        screen = self._screen_of_it
        if screen is None:
            return
        screen._dirty_widgets.add(self)
        if isinstance(screen, PaintingScreen):
            screen.paint_soon()
        else:
            screen._update_timer.resume()

    @property
    def _screen_of_it(self) -> Screen[object] | None:
        """Its screen, which it never leaves for another one; None before it has one."""
        if self._painted_on is None:
            try:
                self._painted_on = self.screen
            except NoScreen:
                return None
        return self._painted_on

    @property
    def _is_seen(self) -> bool:
        """Is a place on its screen given to it? Textual's `display` says nearly that, but looks through its styles."""
        screen = self._screen_of_it
        if screen is None or not self.is_mounted or self._closing or self._closed or self._pruning:
            return False
        return self in screen._compositor.visible_widgets

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


class PaintingScreen(Screen[None]):
    """A screen that is painted as soon as its widgets have changed, though not more often than Textual would.

    Textual's timer paints up to a sixtieth of a second later, which a key would wait for.
    """

    _last_paint = -1.0
    _asked = False

    def paint_soon(self) -> None:
        """Paints what changed once the message that is being handled has been, or in the timer's turn."""
        if not self._asked:
            self._asked = True
            self.call_next(self._paint_now)

    @contextmanager
    def painted_at_once(self) -> Iterator[None]:
        """What changes in this context is painted at its end. To wait for a turn of the loop would wake three tasks."""
        mine, self._asked = not self._asked, True
        try:
            yield
        finally:
            if mine:
                self._paint_now()

    def _paint_now(self) -> None:
        self._asked = False
        now = time.monotonic()
        if now - self._last_paint >= LEAST_GAP:
            self._last_paint = now
            self._on_timer_update()
        else:
            self._update_timer.resume()


class PanelRow(Horizontal, RepaintCache):
    """A row of panels."""


class PanelColumn(Vertical, RepaintCache):
    """A column of panels."""
