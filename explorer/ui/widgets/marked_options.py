"""A list of options whose chosen row also has a mark, as without colours nothing else shows it."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import OptionList


class MarkedOptions(OptionList):
    """Draws ▸ in the empty first cell of the chosen row, while it is in focus or can never be."""

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        line = self.scroll_offset.y + y
        chosen = line < len(self._lines) and self._lines[line] == (self.highlighted, 0)
        if not chosen or (self.can_focus and not self.has_focus) or not strip.text.startswith(" "):
            return strip
        style = next((segment.style for segment in strip if segment.text), None)
        return Strip.join([Strip([Segment("▸", style)], 1), strip.crop(1)])
