"""Dialogs: a frame in the middle of the screen with a title, a body and its keys. Esc closes it without an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from explorer.ui.commands import Command, Commanded
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.closing import Closable
from explorer.ui.widgets.marked_options import MarkedOptions
from explorer.ui.widgets.plain_text import PlainText

SHORT = 30
"""A terminal with fewer rows shows dialogs without spacing."""
Answer = TypeVar("Answer")


CLOSE: Command[Any] = Command({"escape": "leave"}, "Esc", "Closes the dialog.", label="closes", name="Dialog: Close")
CANCEL: Command[Any] = Command(
    {"escape": "leave"}, "Esc", "Closes the dialog and changes nothing.", label="cancels", name="Dialog: Cancel"
)


class Dialog(Commanded, Closable, ModalScreen[Answer], Generic[Answer]):
    """The frame; a subclass gives its body. Dismissing without an answer gives None.

    The frame names every key in place of a `?`: they are few, and a field under focus takes `?` as text.
    """

    COMMAND_TABLE: ClassVar[tuple[Command[Any], ...]] = (CLOSE,)
    title_text = ""
    foot = ""

    def compose(self) -> ComposeResult:
        with Vertical(id="frame") as frame:
            frame.border_title = Text(self.title_text)  # as `Text`, because a string would be read as markup
            frame.border_subtitle = Text(self.foot or self.key_text())
            yield from self.body()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < SHORT, "-short")

    def body(self) -> Iterator[Widget]:
        """The widgets in the frame."""
        raise NotImplementedError

    def key_text(self) -> str:
        """The keys, for the frame's lower edge."""
        return " · ".join(f"{hint.key} {hint.label}" for hint in self.key_hints())

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.action_leave()


class MessageDialog(Dialog[None]):
    """A message: a title, a sentence, and what to do next."""

    COMMAND_TABLE = (replace(CLOSE, keys={"enter": "leave", "escape": "leave"}, shown="⏎ or Esc"),)

    def __init__(self, title: str, sentence: str, hint: str = "") -> None:
        super().__init__()
        self.title_text = title
        self._sentence = sentence
        self._hint = hint

    def key_text(self) -> str:
        return f"{super().key_text()} · nothing is lost"

    def body(self) -> Iterator[Widget]:
        yield PlainText(with_keys(self, self._sentence))
        if self._hint:
            yield PlainText(with_keys(self, self._hint), classes="hint")


@dataclass(frozen=True, slots=True)
class DialogChoice:
    """One possible answer."""

    key: str
    """A letter that chooses it."""
    label: str
    about: str = ""


class ChoiceDialog(Dialog[str]):
    """A question with a few answers, chosen by arrows and Enter, by letter, or by a click. Gives the letter."""

    COMMAND_TABLE = (
        Command({"up": "", "down": "", "enter": ""}, "↑ ↓ ⏎ or a letter", "Chooses an answer.", label="chooses"),
        CANCEL,
    )

    def __init__(self, title: str, question: str, ways: Sequence[DialogChoice], chosen: str = "") -> None:
        super().__init__()
        self.title_text = title
        self._question = question
        self._ways = ways
        self._chosen = chosen

    def body(self) -> Iterator[Widget]:
        if self._question:
            yield PlainText(with_keys(self, self._question))
        options = MarkedOptions(*(Option(f"{way.key}  {way.label}", id=way.key) for way in self._ways), markup=False)
        options.highlighted = next((i for i, way in enumerate(self._ways) if way.key == self._chosen), 0)
        yield options
        yield PlainText("", id="about", classes="hint")

    @on(OptionList.OptionHighlighted)
    def describe(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one("#about", Static).update(self._ways[event.option_index].about)

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)

    def on_key(self, event: events.Key) -> None:
        if any(way.key == event.key for way in self._ways):
            event.stop()
            self.dismiss(event.key)
