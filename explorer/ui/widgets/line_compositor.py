"""Sends lines that changed to the terminal as they are, instead of composing the screen again around them.

Textual cuts every line on which something changed at the edges of all widgets, to find what covers what. The panels of
a page lie beside each other: what a widget draws where nothing is in front of it is what is seen there. Like
`repaint_cache.py` this overrides private parts of Textual, and does nothing if that cache is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.control import Control
from textual._compositor import Compositor, CompositorUpdate
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from explorer.ui.widgets.repaint_cache import PaintingScreen, RepaintCache

PlacedLine = tuple[int, int, Strip]
"""Column, row, and what is there."""


class LineUpdate(CompositorUpdate):
    """Lines and their places."""

    def __init__(self, lines: Sequence[PlacedLine]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for x, y, strip in self.lines:
            yield Control.move_to(x, y)
            yield from strip

    def render_segments(self, console: Console) -> str:
        """The text that a terminal gets."""
        return "".join([f"\x1b[{y + 1};{x + 1}H{strip.render(console)}" for x, y, strip in self.lines])


class LineCompositor(Compositor):
    """Composes the screen only if a changed line is covered, or if a widget is not one that caches its lines."""

    _alone: list[tuple[RepaintCache, Region, list[int]]] | None = None
    """The widgets of the next update with the lines that changed; None if the screen must be composed."""
    _open_for: object = None
    """The arrangement that `_open_rows` is about."""

    def update_widgets(self, widgets: set[Widget]) -> None:
        self._compose_after_all()
        if not self._dirty_regions and self.root is not None and self.root.app.screen is self.root:
            self._alone = self._changed(widgets)
        if self._alone is None:
            super().update_widgets(widgets)
            return
        for widget in widgets:
            widget._exchange_repaint_regions()

    def render_update(
        self, full: bool = False, screen_stack: list[Screen[object]] | None = None, simplify: bool = False
    ) -> RenderableType | None:
        if self._alone is None or full or self._dirty_regions:  # which a new layout has added
            self._compose_after_all()
            return super().render_update(full, screen_stack, simplify)
        changed, self._alone = self._alone, None
        lines: list[PlacedLine] = []
        for widget, region, rows in changed:
            strips = widget.render_lines(region.reset_offset)
            lines += [(region.x, region.y + row, strips[row]) for row in rows]
        return LineUpdate(lines) if lines else None

    def _compose_after_all(self) -> None:
        """Lets the next update compose what would have been sent as it is."""
        for _, region, rows in self._alone or ():
            self._dirty_regions.update(Region(region.x, region.y + row, region.width, 1) for row in rows)
        self._alone = None

    def _changed(self, widgets: Iterable[Widget]) -> list[tuple[RepaintCache, Region, list[int]]] | None:
        found = []
        for widget in widgets:
            if not isinstance(widget, RepaintCache) or not widget.CACHED or widget not in self.visible_widgets:
                return None
            region, clip = self.visible_widgets[widget]
            if not clip.contains_region(region):
                return None
            open_rows = self._open_rows(widget, region)
            rows = {row for one in widget._repaint_regions for row in one.line_range if 0 <= row < region.height}
            if not rows <= open_rows:
                return None
            found.append((widget, region, sorted(rows)))
        return found

    def _open_rows(self, widget: Widget, region: Region) -> set[int]:
        """The rows of a widget that nothing in front of it covers."""
        if self._open_for is not self.visible_widgets:
            self._open_for, self._open = self.visible_widgets, dict[Widget, set[int]]()
        found = self._open.get(widget)
        if found is None:
            found = set(range(region.height))
            for other, (its, clip) in self.visible_widgets.items():  # from the front to the back
                if other is widget:
                    break
                covered = its.intersection(clip).intersection(region)
                if covered:
                    found.difference_update(row - region.y for row in covered.line_range)
            self._open[widget] = found
        return found


class LineScreen(PaintingScreen):
    """A screen that is composed by lines."""

    def __init__(self) -> None:
        super().__init__()
        self._compositor = LineCompositor()
