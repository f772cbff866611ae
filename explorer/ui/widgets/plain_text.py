"""Sentences of a dialog in lines that break like those of every panel: never within a number, a setting's part or a
name."""

from __future__ import annotations

from textual.content import Content
from textual.css.styles import RulesMap
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual
from textual.widgets import Static

from explorer.words.token_text import wrapped


class PlainText(Static):
    """Shows a text without markup. An indented line is kept as it is: it may point at something in the line above."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(text, id=id, classes=classes, markup=False)

    @property
    def visual(self) -> Visual:
        return _Wrapped(str(self.content))

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        return selection.extract(_lines(str(self.content), self.content_size.width)), "\n"


class _Wrapped(Visual):
    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def render_strips(self, width: int, height: int | None, style: Style, options: RenderOptions) -> list[Strip]:
        return Content(_lines(self._text, width)).render_strips(width, height, style, options)

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return Content(self._text).get_optimal_width(rules, container_width)

    def get_height(self, rules: RulesMap, width: int) -> int:
        return Content(_lines(self._text, width)).get_height(rules, width)


def _lines(text: str, width: int) -> str:
    """The text with a line break wherever a line ends."""
    return "\n".join(
        line if not line or line[0].isspace() else "\n".join(wrapped(line, width)) for line in text.split("\n")
    )
