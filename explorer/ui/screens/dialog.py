"""Dialogs: a frame in the middle of the screen with a title, something to do, and Escape to leave it undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

SHORT = 30
"""Below this many rows a dialog does without spacing."""
Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer], Generic[Answer]):
    """The frame; a subclass gives its body. Dismissing without an answer gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Close", show=False)]
    title_text = ""
    foot = "Esc closes"

    def compose(self) -> ComposeResult:
        with Vertical(id="frame") as frame:
            frame.border_title = Text(self.title_text)  # text, where a string would be read as markup
            frame.border_subtitle = Text(self.foot)
            yield from self.body()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < SHORT, "-short")

    def body(self) -> Iterator[Widget]:
        """What stands in the frame."""
        raise NotImplementedError

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.action_leave()


class MessageDialog(Dialog[None]):
    """A title, a sentence, a next step."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "leave", "Close", show=False)]
    foot = "⏎ or Esc closes · nothing is lost"

    def __init__(self, title: str, sentence: str, hint: str = "") -> None:
        super().__init__()
        self.title_text = title
        self._sentence = sentence
        self._hint = hint

    def body(self) -> Iterator[Widget]:
        yield Static(self._sentence, markup=False)
        if self._hint:
            yield Static(self._hint, classes="hint", markup=False)


@dataclass(frozen=True, slots=True)
class DialogChoice:
    """One answer to choose."""

    key: str
    """A letter that chooses it at once."""
    label: str
    about: str = ""


class ChoiceDialog(Dialog[str]):
    """A question with a few answers: by arrows and Enter, by letter, by click. Gives the letter."""

    foot = "↑ ↓ ⏎ or a letter · Esc leaves it"

    def __init__(self, title: str, question: str, ways: Sequence[DialogChoice], chosen: str = "") -> None:
        super().__init__()
        self.title_text = title
        self._question = question
        self._ways = ways
        self._chosen = chosen

    def body(self) -> Iterator[Widget]:
        if self._question:
            yield Static(self._question, markup=False)
        options = OptionList(*(Option(f"{way.key}  {way.label}", id=way.key) for way in self._ways), markup=False)
        options.highlighted = next((i for i, way in enumerate(self._ways) if way.key == self._chosen), 0)
        yield options
        yield Static("", id="about", classes="hint", markup=False)

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
