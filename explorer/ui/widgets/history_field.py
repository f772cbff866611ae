"""Fields that remember what was typed into them: ↑ and ↓ walk through it, and what was typed filters it."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.actions import SkipAction
from textual.app import App
from textual.binding import Binding, BindingType
from textual.widgets import Input, TextArea

from explorer.state.typed_history import FieldKind, HistoryWalk, TypedHistory
from explorer.ui.commands import Commanded
from explorer.ui.widgets.whole_input import WholeInput
from probes.schema.errors import Failure

NOTHING_EARLIER = "Nothing that was typed earlier begins with this."


class HistoryInput(Input):
    """A field of one line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "older", show=False),
        Binding("down", "newer", show=False),
    ]

    def __init__(self, history: FieldKind, value: str = "", **options: Any) -> None:
        super().__init__(value, **options)
        self._history = history
        self._first = value
        self._walk: HistoryWalk | None = None

    def action_older(self) -> None:
        """The next older text; where there is none, the key is the screen's if it has an action for it."""
        older = self._way.older()
        if older is not None:
            self._show(older)
        elif isinstance(self.screen, Commanded) and "up" in self.screen.USUAL_KEYS.values():
            raise SkipAction
        else:
            self.notify(NOTHING_EARLIER)

    def action_newer(self) -> None:
        """The next newer text; where there is none, the key is the screen's."""
        newer = self._way.newer()
        if newer is None:
            raise SkipAction
        self._show(newer)

    @property
    def _way(self) -> HistoryWalk:
        """The walk from what is in the field now."""
        if self._walk is None:
            self._walk = HistoryWalk(TypedHistory().entries(self._history), self._first)
        self._walk.type(self.value)
        return self._walk

    def _show(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)


class WholeHistoryInput(HistoryInput, WholeInput):
    """The same for a whole text in one line."""


class HistoryArea(TextArea):
    """A field of several lines: ↑ on its first line and ↓ on its last one walk."""

    def __init__(self, history: FieldKind, text: str = "", **options: Any) -> None:
        super().__init__(text, soft_wrap=True, tab_behavior="focus", highlight_cursor_line=False, **options)
        self._kind: FieldKind = history
        self._first = text
        self._walk: HistoryWalk | None = None

    def action_cursor_up(self, select: bool = False) -> None:
        if select or not self.navigator.is_first_wrapped_line(self.cursor_location):
            super().action_cursor_up(select)
            return
        older = self._way.older()
        if older is None:
            self.notify(NOTHING_EARLIER)
        else:
            self.load_text(older)
            self.move_cursor((0, 0))
            self.action_cursor_line_end()  # on the first line, from where ↑ goes on

    def action_cursor_down(self, select: bool = False) -> None:
        last = self.navigator.is_last_wrapped_line(self.cursor_location)
        newer = self._way.newer() if last and not select else None
        if newer is None:
            super().action_cursor_down(select)
        else:
            self.load_text(newer)
            self.move_cursor(self.document.end)

    @property
    def _way(self) -> HistoryWalk:
        if self._walk is None:
            self._walk = HistoryWalk(TypedHistory().entries(self._kind), self._first)
        self._walk.type(self.text)
        return self._walk


def remember(app: App[Any], *typed: tuple[FieldKind, str]) -> None:
    """Adds what was typed to the history; a notice says if that is not possible."""
    history = TypedHistory()
    try:
        for kind, text in typed:
            history.add(kind, text)
    except Failure as problem:
        app.notify(f"{problem.message} {problem.hint}", title=problem.title)
