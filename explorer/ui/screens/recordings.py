"""The recordings: searched, opened, set side by side; or a new run begun."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from explorer.recordings.library import ListedRun, matching
from explorer.ui.messages import LiveRunAsked, RecordingChosen, RecordingsCompared
from explorer.ui.screens.page import Page, too_small
from explorer.ui.widgets.key_line import KeyHint, KeyLine
from explorer.ui.widgets.recording_list import RecordingList
from explorer.words.token_text import fit
from probes.schema.foreign_text import visible

Library = Callable[[], Sequence[ListedRun]]
"""Finds the recordings; may take a while."""


def library() -> list[ListedRun]:
    """Those in the person's folder and those that come with the program."""
    from explorer.recordings.library import recordings
    from probes.recording import sessions_folder

    return recordings(sessions_folder(), *_shipped())


def _shipped() -> list[Path]:
    from explorer.recordings.shipped import shipped_folder

    try:
        return [shipped_folder()]
    except ModuleNotFoundError:
        return []


class Recordings(Page):
    """A list to choose from; what is typed after / narrows it."""

    HOME = "#recordings"
    AUTO_FOCUS = "#recordings"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", show=False),
        Binding("space", "mark", show=False),
        Binding("c", "compare", show=False),
        Binding("slash", "search", show=False),
        Binding("n", "new", show=False),
        Binding("r", "look", show=False),
        Binding("t", "app.next_theme", show=False),
        Binding("y", "copy", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("home", "move(-100000)", show=False),
        Binding("end", "move(100000)", show=False),
        Binding("escape", "leave", show=False),
        Binding("q", "app.quit", show=False),
    ]

    def __init__(self, look: Library, *, can_run: bool, can_leave: bool) -> None:
        """`can_run` offers a new run on the models, `can_leave` to go back to what was shown before."""
        super().__init__()
        self._look = look
        self._can_run = can_run
        self._can_leave = can_leave
        self._all: Sequence[ListedRun] | None = None

    def compose(self) -> ComposeResult:
        yield Static(" phier   recordings", id="title", markup=False)
        with Vertical(id="body"):
            yield Input(placeholder="/ searches date, models, setting, context, prompt", id="search")
            yield RecordingList()
            yield Static("", id="told", markup=False)
        yield too_small()
        yield KeyLine()

    def on_mount(self) -> None:
        super().on_mount()
        self.action_look()

    @work(thread=True, exclusive=True, group="recordings", description="looking for recordings")
    def action_look(self) -> None:
        """Looks through the folders, away from the screen."""
        found = list(self._look())
        self.app.call_from_thread(self._take, found)

    def _take(self, found: Sequence[ListedRun]) -> None:
        self._all = found
        self.show()

    def show(self) -> None:
        words = self.query_one("#search", Input).value
        shown = None if self._all is None else matching(self._all, words)
        listing = self.query_one(RecordingList)
        listing.show(shown)
        self._tell(listing)

    def _tell(self, listing: RecordingList) -> None:
        one = listing.chosen
        told = ""
        if one is not None:
            told = one.problem or one.prompt_line
            place = f"   run {one.run} of {one.runs}" if one.runs > 1 else ""
            told = f"{fit(told, max(10, self.size.width - 4)).rstrip()}\n{visible(str(one.chosen))}{place}"
        self.query_one("#told", Static).update(told)
        searching = self.focused is not None and self.focused.id == "search"
        self.query_one(KeyLine).show(self._keys(listing, searching))

    def _keys(self, listing: RecordingList, searching: bool) -> list[KeyHint]:
        if searching:
            return [KeyHint("⏎", "to the list", ""), KeyHint("Esc", "to the list", "")]
        some = listing.chosen is not None and not listing.chosen.problem
        keys = [
            KeyHint("⏎", "open", "open", some),
            KeyHint("/", "search", "search"),
            KeyHint("space", "mark", "mark", some),
            KeyHint("c", "compare marked", "compare", len(listing.marked) > 1),
        ]
        if self._can_run:
            keys.append(KeyHint("n", "new run", "new"))
        if self._can_leave:
            keys.append(KeyHint("Esc", "back", "leave"))
        return [*keys, KeyHint("r", "look again", "look"), KeyHint("q", "quit", "app.quit")]

    # What can be done.

    def action_move(self, rows: int) -> None:
        listing = self.query_one(RecordingList)
        listing.move(rows)
        self._tell(listing)

    def action_open(self) -> None:
        one = self.query_one(RecordingList).chosen
        if one is not None and not one.problem:
            self.post_message(RecordingChosen(one.chosen))

    def action_mark(self) -> None:
        listing = self.query_one(RecordingList)
        listing.mark()
        self._tell(listing)

    def action_compare(self) -> None:
        marked = self.query_one(RecordingList).marked
        if len(marked) > 1:
            self.post_message(RecordingsCompared(marked))
        else:
            self.notify("Mark two runs or more with the space bar.", title="Compare")

    def action_new(self) -> None:
        if self._can_run:
            self.post_message(LiveRunAsked())

    def action_search(self) -> None:
        self.query_one("#search", Input).focus()

    def action_leave(self) -> None:
        if self.focused is not None and self.focused.id == "search":
            self.query_one(RecordingList).focus()
        elif self._can_leave:
            self.app.pop_screen()

    @on(Input.Changed)
    def narrow(self) -> None:
        self.show()

    @on(Input.Submitted)
    def to_list(self) -> None:
        self.query_one(RecordingList).focus()

    def on_descendant_focus(self) -> None:
        self._tell(self.query_one(RecordingList))
