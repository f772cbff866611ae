"""The list of recordings, to search, open and compare them, or to start a new run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from explorer.recordings.library import ListedRun, matching
from explorer.recordings.shipped import is_shipped
from explorer.ui.commands import COPY, FOCUS, HELP, PALETTE, QUIT, THEME, Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.messages import LiveRunAsked, RecordingChosen, RecordingsCompared
from explorer.ui.screens.page import Page, too_small
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.plain_text import PlainText
from explorer.ui.widgets.recording_list import RecordingList, RunPointed
from explorer.words.bound_keys import key_of
from explorer.words.token_text import fit, flowing
from probes.schema.foreign_text import visible

Library = Callable[[], Sequence[ListedRun]]
"""Finds the recordings. It may take a while."""


def library(folder: Path | None = None) -> list[ListedRun]:
    """What this folder holds; by default the recordings in the user's folder and those that come with the program."""
    from explorer.recordings.library import recordings
    from probes.recording import recordings_folder

    if folder is not None:
        return recordings(folder)
    found = recordings(recordings_folder(), *_shipped())
    return [one for one in found if not (one.other and is_shipped(one.path))]  # the tour's results are shown by its run


def _shipped() -> list[Path]:
    from explorer.recordings.shipped import TOUR_RECORDING, shipped_folder

    try:
        return [shipped_folder(), (shipped_folder() / TOUR_RECORDING).parent]
    except ModuleNotFoundError:
        return []


def in_list(screen: Recordings) -> bool:
    return not screen.searching


LIST_COMMANDS: tuple[Command[Recordings], ...] = (
    Command(
        {"enter": "open"},
        "⏎",
        "Opens the recording.",
        label=lambda screen: "to the list" if screen.searching else "open",
        name="Recordings: Open",
        when=lambda screen: screen.searching or screen.openable,
    ),
    Command({"slash": "search"}, "/", "Searches.", label="search", name="Recordings: Search", offered=in_list),
    Command(
        {"space": "mark"},
        "space",
        "Marks the recording, to compare it with others.",
        label="mark",
        when=lambda screen: screen.markable,
        offered=in_list,
    ),
    Command(
        {"c": "compare"},
        "c",
        "Compares the marked recordings.",
        label="compare marked",
        name="Recordings: Compare",
        when=lambda screen: screen.marked > 1,
        offered=in_list,
    ),
    Command(
        {"n": "new"},
        "n",
        "Starts a new run.",
        label="new run",
        name="Run: Start",
        when=lambda screen: screen.can_run,
        offered=lambda screen: screen.can_run and in_list(screen),
    ),
    Command(
        {"escape": "leave"},
        "Esc",
        "Goes back to the list from a search, or to the run that was open.",
        label=lambda screen: "to the list" if screen.searching else "back",
        when=lambda screen: screen.searching or screen.can_leave,
        offered=lambda screen: screen.searching or screen.can_leave,
    ),
    Command({"r": "look"}, "r", "Lists the files again.", label="refresh", name="Recordings: Refresh", offered=in_list),
    Command({"up": "move(-1)", "down": "move(1)"}, "↑ ↓", "Chooses a recording."),
    Command({"pageup": "move(-10)", "pagedown": "move(10)"}, "PgUp PgDn", "Moves ten recordings up or down."),
    Command({"home": "move(-100000)", "end": "move(100000)"}, "Home End", "Chooses the first or the last recording."),
    COPY,
    THEME,
    HELP,
    QUIT,
    FOCUS,
    PALETTE,
)


class Recordings(Page):
    """A list to choose from. Text typed after / narrows it."""

    HOME = "#recordings"
    AUTO_FOCUS = "#recordings"
    COMMAND_TABLE = LIST_COMMANDS

    def __init__(self, look: Library, *, can_run: bool, can_leave: bool) -> None:
        """`can_run` offers a new run on the models, `can_leave` the way back to the run that was shown before."""
        super().__init__()
        self._look = look
        self.can_run: bool = can_run
        self.can_leave: bool = can_leave
        self._all: Sequence[ListedRun] | None = None

    def compose(self) -> ComposeResult:
        yield Static(" phier   recordings", id="title", markup=False)
        with Vertical(id="body"):
            yield Input(
                placeholder=with_keys(
                    self, f"{key_of('search')} searches date, models, setting, context, prompt, turns"
                ),
                id="search",
            )
            yield RecordingList()
            yield PlainText(id="details")
        yield too_small()
        yield KeyLine()

    def on_mount(self) -> None:
        super().on_mount()
        self.action_look()

    @work(thread=True, exclusive=True, group="recordings", description="looking for recordings")
    def action_look(self) -> None:
        """Looks through the folders in a thread of its own."""
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
        self._show_details(listing)

    def _show_details(self, listing: RecordingList) -> None:
        one = listing.chosen
        details = ""
        if one is not None:
            first = one.problem or one.other or one.prompt_line()
            place = f"   run {one.run} of {one.runs}" if one.runs > 1 else ""
            setting = "" if one.problem or one.other else f"{flowing(one.header.title)}   "
            room = max(10, self.size.width - 4)
            whole = f"{setting}{visible(str(one.chosen))}{place}"
            details = f"{fit(first, room).rstrip()}\n{whole}"
        self.query_one("#details", Static).update(details)
        self.query_one(KeyLine).show(self.key_hints())

    @property
    def searching(self) -> bool:
        return self.focused is not None and self.focused.id == "search"

    @property
    def openable(self) -> bool:
        """Is there a recording under the cursor that can be read?"""
        chosen = self.query_one(RecordingList).chosen
        return chosen is not None and not chosen.problem

    @property
    def markable(self) -> bool:
        """Is there a run under the cursor, which can be compared with others?"""
        chosen = self.query_one(RecordingList).chosen
        return self.openable and chosen is not None and not chosen.other

    @property
    def marked(self) -> int:
        return len(self.query_one(RecordingList).marked)

    # Actions.

    def action_move(self, rows: int) -> None:
        listing = self.query_one(RecordingList)
        listing.move(rows)
        self._show_details(listing)

    def action_open(self) -> None:
        one = self.query_one(RecordingList).chosen
        if one is not None and not one.problem:
            self.post_message(RecordingChosen(one.chosen))

    def action_mark(self) -> None:
        listing = self.query_one(RecordingList)
        listing.mark()
        self._show_details(listing)

    def action_compare(self) -> None:
        marked = self.query_one(RecordingList).marked
        if len(marked) > 1:
            self.post_message(RecordingsCompared(marked))
        else:
            self.notify(f"Mark two or more runs with {key_of('mark')}.", title="Compare")

    def action_new(self) -> None:
        if self.can_run:
            self.post_message(LiveRunAsked())

    def action_search(self) -> None:
        self.query_one("#search", Input).focus()

    def action_leave(self) -> None:
        if self.searching:
            self.query_one(RecordingList).focus()
        elif self.can_leave:
            self.app.pop_screen()

    @on(Input.Changed)
    def narrow(self) -> None:
        self.show()

    @on(Input.Submitted)
    def to_list(self) -> None:
        self.query_one(RecordingList).focus()

    def on_descendant_focus(self) -> None:
        self._show_details(self.query_one(RecordingList))

    @on(RunPointed)
    def show_pointed(self) -> None:
        self._show_details(self.query_one(RecordingList))
