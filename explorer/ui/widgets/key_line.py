"""The key line: the most useful keys now, as many as fit. Each can be clicked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.style import Style
from textual import events
from textual.geometry import Size

from explorer.ui.widgets.line_widget import LineWidget, Piece


class KeyHint(NamedTuple):
    """One entry. Two dozen are made and compared a step: a tuple takes a third of a dataclass's time."""

    key: str
    label: str
    action: str
    """Empty for an entry of several keys, such as the arrows."""
    enabled: bool = True


STRUCK = Style(strike=True)


class KeyLine(LineWidget):
    """Shows keys from left to right. A key that does nothing now is struck through."""

    DEFAULT_CSS = "KeyLine { height: 1; dock: bottom; }"

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._keys: tuple[KeyHint, ...] = ()

    def show(self, keys: Sequence[KeyHint]) -> None:
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width = size.width
        line: list[Piece] = [(" ", None)]
        for key, _, _ in self._placed(width):
            off = self.palette.faint + STRUCK
            line.append((key.key, self.palette.strong if key.enabled else off))
            line.append((f" {key.label}", self.palette.muted if key.enabled else off))
            line.append(("  ", None))
        return [line]

    def _placed(self, width: int) -> list[tuple[KeyHint, int, int]]:
        """The keys that fit, with the cells they take."""
        found, used = [], 1
        for key in self._keys:
            size = len(key.key) + len(key.label) + 1
            if used + size > width:
                continue
            found.append((key, used, used + size))
            used += size + 2
        return found

    async def on_click(self, event: events.Click) -> None:
        for key, start, stop in self._placed(self.size.width):
            if start <= event.x < stop and key.enabled and key.action:
                await self.screen.run_action(key.action)
                return
