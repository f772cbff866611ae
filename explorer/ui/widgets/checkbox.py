"""A checkbox that shows its state by a mark, not by colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Size

from explorer.ui.widgets.line_widget import LineWidget, Piece


class CheckboxLine(LineWidget, can_focus=True):
    """One line: a box and what it means. Space, Enter or a click toggles it."""

    DEFAULT_CSS = "CheckboxLine { height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("space,enter", "turn", "Toggle", show=False)]

    def __init__(self, label: str, value: bool, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.label = label
        self.value = value

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        style = self.palette.strong if self.has_focus else self.palette.text
        return [[(f"[{'x' if self.value else ' '}] {self.label}"[: size.width], style)]]

    def action_turn(self) -> None:
        self.value = not self.value
        self.redraw()

    def on_click(self) -> None:
        self.action_turn()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()
