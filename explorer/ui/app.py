"""The explorer: connects a source of steps to the screens. `state/view.py` decides what is shown; widgets draw it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.events import DescendantFocus, Event, Key, Paste
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.types import CSSPathType

from explorer.config.screen_options import SCREEN_DEFAULTS, GlyphSet, Motion, ScreenOptions
from explorer.sources.chosen import Chosen
from explorer.sources.empty import EmptySource
from explorer.sources.kept_results import ResultsSource
from explorer.sources.kept_sweep import CellSource, SweepSource
from explorer.sources.source import Source
from explorer.state.timed_work import Clock
from explorer.state.view import Under, View
from explorer.ui import theme
from explorer.ui.commands import TOUR_COMMANDS, usual_keys
from explorer.ui.filled_keys import with_keys
from explorer.ui.glyphs import GlyphFilter
from explorer.ui.guide import Guide
from explorer.ui.keys_in_order import KeysInOrder
from explorer.ui.mailbox import Mailbox
from explorer.ui.messages import (
    CellOpened,
    EventsArrived,
    ItemRunAsked,
    LiveRunAsked,
    ModelsAsked,
    RecordingChosen,
    RecordingsAsked,
    RecordingSaved,
    RecordingsCompared,
    RetryAsked,
    ReturnAsked,
    Way,
    WayChosen,
)
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.page import Page
from explorer.words.bound_keys import key_of
from probes.schema.counting import number_of
from probes.schema.errors import FailureKind, PhierError
from probes.schema.events import Failed, Noticed, RunStarted
from probes.schema.header import RunHeader
from probes.schema.requests import Pause

if TYPE_CHECKING:
    from explorer.sources.launcher import Launcher
    from explorer.ui.copying import Copyable


@dataclass(frozen=True, slots=True)
class Shown:
    """A source, the view of its events, and the events that have not reached the view."""

    source: Source
    view: View
    mailbox: Mailbox


LEAST_INTERVAL = 1 / 30
"""Seconds between two repaints. Events that arrive sooner wait; none is dropped."""


def _palette() -> type[Provider]:
    from explorer.ui.command_palette import PossibleCommands

    return PossibleCommands


class ExplorerApp(App[int]):
    """The program on a screen."""

    TITLE = "phier"
    NOTIFICATION_TIMEOUT = 4.0
    CSS_PATH: ClassVar[CSSPathType | None] = ["screens/main.tcss", "screens/dialog.tcss"]
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", show=False, priority=True),
        *(binding for command in TOUR_COMMANDS for binding in command.bindings),
    ]
    USUAL_KEYS: ClassVar[Mapping[str, str]] = usual_keys(TOUR_COMMANDS)
    """The keys of commands that every screen has, by their names, unless a person has chosen others."""

    def __init__(
        self,
        source: Source | None = None,
        *,
        launcher: Launcher | None = None,
        look: ScreenOptions = SCREEN_DEFAULTS,
        keymap: Mapping[str, str] = MappingProxyType({}),
        clock: Clock = time.monotonic,
        driver: type[Driver] | None = None,
        folder: Path | None = None,
        welcome: bool = False,
    ) -> None:
        """Without a source it begins with the list of recordings, those in `folder` if one is named, or with the ways
        to begin if `welcome`; without a launcher no models can be loaded. `keymap` has keys by the names of
        commands, as `chosen_keys` makes it."""
        plain = "NO_COLOR" in os.environ
        super().__init__(driver_class=driver, ansi_color=True if plain else None)
        for known in theme.THEMES:
            self.register_theme(known)
        self.theme = theme.TERMINAL if plain else theme.OF_CHOICE[look.theme]
        self.look, self.keymap = look, keymap
        self._glyphs = GlyphFilter(look.glyphs) if look.glyphs is not GlyphSet.BRAILLE else None
        self._still = look.motion is Motion.REDUCED
        if self._still:
            self.animation_level = "none"
        self._launcher, self._folder, self._welcome = launcher, folder, welcome
        self._clock = clock
        self._keys = KeysInOrder(self, self._is_opening, self._is_for_opening)
        self.guide = Guide(self, self)
        self._painted = float("-inf")
        self._waiting = False
        self._warned: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self.last_copy: Copyable | None = None
        """What was copied last."""
        self._left: Shown | None = None
        """The recording that was left to show its models."""
        self._under: list[tuple[Shown, Screen[Any]]] = []
        """What is under the source that is shown, each with the screen that was on top: the one below last."""
        self._shown = self._show_new(source or EmptySource())

    def _show_new(self, source: Source) -> Shown:
        view = View(live=source.live, can_load=self._launcher is not None, clock=self._clock)
        return Shown(source, view, Mailbox(lambda: self.post_message(EventsArrived())))

    @property
    def source(self) -> Source:
        """The source that is shown; events of an earlier source are ignored."""
        return self._shown.source

    @property
    def view(self) -> View:
        return self._shown.view

    async def on_mount(self) -> None:
        if self.keymap:
            self.set_keymap(dict(self.keymap))
        await self.push_screen(MainScreen(self.source, self.view))
        self.set_interval(1.0, self._show_time)

    def action_tour_on(self) -> None:
        self.guide.go_on()

    def action_tour_back(self) -> None:
        self.guide.back()

    def action_tour_end(self) -> None:
        self.guide.stop()

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key | Paste) and not event.is_forwarded:
            if isinstance(event, Key):
                self.guide.press(event.key)
            await self._keys.take(event, super().on_event)
        else:
            await super().on_event(event)

    def _is_opening(self) -> bool:
        """Is the recording of the main screen being read, so that a key would find nothing in it?"""
        if self.source.live or not isinstance(self.screen, MainScreen):
            return False
        from explorer.sources.replay import ReplaySource

        arriving = self.view.pause is None and not self.view.running and self._shown.mailbox.filled
        return isinstance(self.source, ReplaySource) and (self.source.reading or arriving)

    def _is_for_opening(self, event: Event) -> bool:
        """Does a key cancel what is being opened, or leave the program?"""
        found = self.screen.active_bindings.get(event.key) if isinstance(event, Key) else None
        return found is not None and found.binding.action in ("back", "quit", "app.quit")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, and the one that exchanges glyphs."""
        filters = super().get_line_filters()
        return [*filters, self._glyphs] if self._glyphs is not None else filters

    @on(DescendantFocus)
    def stop_blinking(self, event: DescendantFocus) -> None:
        if self._still and hasattr(event.widget, "cursor_blink"):
            event.widget.cursor_blink = False

    def on_ready(self) -> None:
        """Begins the slow work, after the first paint."""
        if isinstance(self.source, EmptySource) and self._welcome:
            from explorer.ui.screens.welcome import Welcome

            self.push_screen(Welcome(has_models=self._launcher is not None))
            return
        if isinstance(self.source, EmptySource):
            self.show_recordings()
            return
        self._begin_source()
        self.run_worker(
            import_ahead,
            thread=True,
            exclusive=False,
            exit_on_error=False,
            group="imports",
            description="Importing a screen before its key is pressed",
        )

    def _show_over_main(self) -> None:
        """Shows what a source without a run is about, over the main screen."""
        if isinstance(self.source, ResultsSource):
            self.main.action_verdict()
        elif isinstance(self.source, SweepSource):
            from explorer.ui.screens.sweep import SweepScreen

            self.push_screen(SweepScreen(self.source, self.view))

    def open_source(self) -> None:
        self.source.open(self._shown.mailbox.put)

    @on(RetryAsked)
    def retry(self) -> None:
        self.view.failure = None
        self.open_source()

    def use(self, source: Source) -> None:
        """Shows another source in place of the present one, and of all that is under it."""
        self.guide.forget()
        while self._under:
            self._close_over()
        self._let_go()
        self._show_source(source)

    def _let_go(self) -> None:
        self.source.close()
        if self._left is not None:
            self._left.source.close()
            self._left = None

    def _show_source(self, source: Source) -> None:
        self._shown = self._show_new(source)
        self._show_main()
        self.call_after_refresh(self._begin_source)

    def _begin_source(self) -> None:
        self._show_over_main()
        self.open_source()

    def _show_main(self) -> None:
        while not isinstance(self.screen, MainScreen):
            self.pop_screen()
        self.switch_screen(MainScreen(self.source, self.view))

    # A cell of a sweep, and an item of a cell, are sources over the one that they are from.

    def _open_over(self, source: Source, under: Under) -> Shown:
        """Shows a source over the present one, which stays as it is; `_close_over` comes back to it."""
        self._under.append((self._shown, self.screen))
        self._shown = self._show_new(source)
        self.view.under = under
        return self._shown

    def _close_over(self) -> None:
        shown, screen = self._under.pop()
        self._let_go()
        while self.screen is not screen:
            self.pop_screen()
        self._shown = shown
        self.post_message(EventsArrived())

    def show_over(self, source: Source) -> None:
        """Shows the tour's recording over its run, which stays as it is."""
        if self._left is not None:  # Esc comes back to the run that the tour was taken on
            self._left.source.close()
            self._left, self.view.returnable = None, False
        self._open_over(source, Under.TOUR)
        self.push_screen(MainScreen(source, self.view))
        self.call_after_refresh(self.open_source)

    @on(CellOpened)
    def open_cell(self, message: CellOpened) -> None:
        """Opens a cell of the sweep that is shown: as a verdict, or of a prompt, as a recording."""
        from explorer.state.judge_requests import JudgeRequests
        from explorer.ui.screens.verdict import VerdictScreen

        sweep = self.source
        if not isinstance(sweep, SweepSource):
            return
        try:
            source = sweep.opened(message.setting, message.task)
        except PhierError as problem:
            self._say(problem.title, problem.message, problem.hint)
            return
        view = self._open_over(source, Under.SWEEP).view
        if isinstance(source, CellSource):
            judging = JudgeRequests(source, view)
            judging.row = source.tasks.index(message.task)
            view.opens_items = self._launcher is not None
            self.push_screen(VerdictScreen(source, view, judging))
        else:
            self.push_screen(MainScreen(source, view))
        self.call_after_refresh(self.open_source)

    @on(ItemRunAsked)
    def open_item(self, message: ItemRunAsked) -> None:
        """Loads the models of a cell, and opens one of its items as a run."""
        from explorer.state.item_list import run_of_item

        cell = self.source
        items = cell.item_set(message.task) if isinstance(cell, CellSource) else None
        if not isinstance(cell, CellSource) or items is None or self._launcher is None:
            return
        if not self._may_leave("opening an item"):
            return
        try:
            as_run = partial(run_of_item, answer=message.answer)
            source = self._launcher.open_item(cell.spec, items, message.item, as_run)
        except PhierError as problem:
            self._say(problem.title, problem.message, problem.hint)
            return
        view = self._open_over(source, Under.ITEMS).view
        view.to_split = bool(message.answer)
        self.push_screen(MainScreen(source, view))
        self.call_after_refresh(self.open_source)

    # Recordings.

    @on(RecordingsAsked)
    def show_recordings(self) -> None:
        from explorer.ui.screens.recordings import Recordings, library

        empty = isinstance(self.source, EmptySource) and not self._welcome
        look = partial(library, self._folder)
        self.push_screen(Recordings(look, can_run=self._launcher is not None, can_leave=not empty))

    @on(RecordingChosen)
    def open_recording(self, message: RecordingChosen) -> None:
        from explorer.sources.opened import opened_file

        if not self._may_leave("opening a recording"):
            return
        try:
            source = opened_file(message.chosen.path, message.chosen.run)
        except PhierError as problem:
            self._say(problem.title, problem.message, problem.hint)
        else:
            self.guide.end_for("Another recording is open")
            self.use(source)

    @on(RecordingSaved)
    def save_recording(self, message: RecordingSaved) -> None:
        if self._launcher is None:
            return
        try:
            self._launcher.save(message.path)
        except PhierError as problem:
            self._say(problem.title, problem.message, problem.hint)
        else:
            self.notify(f"Now recording to {message.path}.", title="Saved")

    @property
    def _unsaved(self) -> str:
        """A sentence on what would be lost by leaving now; "" if nothing would."""
        return self._launcher.unsaved() if self._launcher is not None else ""

    def _may_leave(self, what: str) -> bool:
        """False, with a dialog, if leaving would lose lines that could not be written."""
        lost = self._unsaved
        if lost:
            self._say(
                "Not recorded",
                lost,
                f"Free some space or save it elsewhere ({key_of('save')}) first: {what} would lose it.",
            )
        return not lost

    @on(RecordingsCompared)
    def show_comparison(self, message: RecordingsCompared) -> None:
        self.compare(message.chosen)

    def compare(self, recordings: Sequence[Chosen | Path]) -> None:
        """Shows a comparison of recordings over the present screen."""
        from explorer.recordings.comparison import compare_recordings
        from explorer.ui.screens.compare import ComparisonScreen

        try:
            compared = compare_recordings(recordings)
        except PhierError as problem:
            self._say(problem.title, problem.message, problem.hint)
            return
        self.push_screen(ComparisonScreen(compared))

    @on(ModelsAsked)
    def load_models(self) -> None:
        """Loads a recording's models, which continue from the cursor, or if more steps were recorded, from the last."""
        cursor, newest = self.view.cursor, self.view.newest
        if cursor == newest:
            self._go_on_from(cursor)
            return
        from explorer.ui.screens.dialog import ChoiceDialog, DialogChoice

        def answered(way: str | None) -> None:
            if way is not None:
                self._go_on_from(cursor if way == "c" else newest)

        there, rest = number_of(cursor, "step"), range(cursor + 1, newest + 1)
        stay = f"step {newest} stays" if len(rest) == 1 else f"steps {rest[0]} to {rest[-1]} stay"
        ways = (
            DialogChoice("c", f"the cursor: step {cursor}", f"Measures {there} again. From here on, {stay} behind."),
            DialogChoice("e", f"the end: step {newest}", f"Measures all {number_of(newest, 'step')} again."),
        )
        question = (
            "The models continue from where? The recording stays as it is, and the new run is a recording of its own. "
            "What was explained is taken over if the figures agree."
        )
        self.push_screen(ChoiceDialog("Load the models", question, ways), answered)

    def _go_on_from(self, step: int) -> None:
        """Loads a recording's models, which continue from a step. The recording stays open behind them."""
        header, view = self.view.header, self.view
        if self._launcher is None or header is None:
            return
        try:
            source = self._launcher.go_on(header, view.path[:step], view.findings_up_to(step))
        except PhierError as problem:
            self._say(problem.title, problem.message, problem.hint)
            return
        self.source.ask(Pause())
        self._left = self._shown
        under = self.view.under
        self._show_source(source)
        self.view.returnable, self.view.under = True, under

    @on(ReturnAsked)
    def return_to_recording(self) -> None:
        """Shows what is under the present source. A recording whose models were asked for is shown as it was left."""
        if self._left is None:
            if self._under:
                self._close_over()
            return
        self.source.close()
        self._shown, self._left = self._left, None
        self._show_main()
        self.post_message(EventsArrived())

    @on(LiveRunAsked)
    def run_live(self) -> None:
        if self._launcher is None or not self._may_leave("a new run"):
            return
        try:
            source = self._launcher.begin()
        except PhierError as problem:
            self._say(problem.title, problem.message, problem.hint)
        else:
            self.guide.end_for("A new run has begun")
            self.use(source)

    @on(WayChosen)
    def begin_as_chosen(self, message: WayChosen) -> None:
        """Begins in the way that was chosen on the first screen."""
        from explorer.recordings.shipped import DEMO_RECORDING, shipped_folder
        from explorer.sources.autoplay import Autoplay

        match message.way:
            case Way.TOUR:
                self.take_tour()
            case Way.MODELS:
                self.run_live()
            case Way.DEMO:
                self.use(Autoplay(shipped_folder() / DEMO_RECORDING, play=True))
            case Way.RECORDINGS:
                self.show_recordings()

    def take_tour(self) -> None:
        """Begins the tour, with the models if they can be loaded."""
        if self._launcher is not None and self._may_leave("the tour"):
            try:
                self.use(self._launcher.begin_tour())
            except PhierError as problem:
                self._say(problem.title, problem.message, problem.hint)
            else:
                self.guide.begin()

    # Events.

    def _show_time(self) -> None:
        """Updates the time of slow work, even if the work reports nothing."""
        if self.view.work is not None:
            self._show_all()

    def _show_all(self) -> None:
        if not self.is_running:
            return  # it is ending, and its widgets are gone
        self.main.history.notice(self.view)
        page = next(screen for screen in reversed(self.screen_stack) if isinstance(screen, Page))
        if page.is_mounted:
            with page.painted_at_once():
                page.show()  # one that is still being opened, or under another page, shows itself once it is seen

    @on(EventsArrived)
    def take_events(self) -> None:
        """Folds the events that have arrived, but waits until the last repaint is `LEAST_INTERVAL` ago."""
        wait = self._painted + LEAST_INTERVAL - self._clock()
        if wait <= 0:
            self._fold()
        elif not self._waiting:
            self._waiting = True
            self.set_timer(wait, self._fold)

    def _fold(self) -> None:
        self._waiting = False
        self._painted = self._clock()
        before = self.view.phase
        for event in self._shown.mailbox.empty():
            self.view.apply(event)
            if isinstance(event, Failed) and event.request in self.view.beside:
                pass  # the screen that asked shows it
            elif isinstance(event, Failed):
                self._tell(event)
            elif isinstance(event, Noticed):
                self.notify(event.message, title=event.title, timeout=15)
            elif isinstance(event, RunStarted):
                self._warn(event.header)
        self._show_all()
        if before is not self.view.phase:
            self.main.refresh_bindings()

    @property
    def main(self) -> MainScreen:
        """The main screen of the source that is shown, also while another one is over it."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, MainScreen))

    def _tell(self, failure: Failed) -> None:
        """Shows a failure in a dialog over the run. If there is no run, the opening screen shows it."""
        if self.view.header is None:
            return
        if failure.kind is FailureKind.CANCELLED:
            self.notify(failure.message, title=failure.title)
        else:
            does = (
                f" {key_of('save')} does that."
                if failure.kind is FailureKind.NOT_RECORDED and self._launcher is not None
                else ""
            )
            self._say(failure.title, failure.message, f"{failure.hint}{does}")

    def _warn(self, header: RunHeader) -> None:
        """Shows the warnings and notes on the two models once; the title keeps their number."""
        said = (header.every_warning, header.every_note)
        if said == self._warned:
            return
        self._warned = said
        if header.every_warning:
            self._say("Before you read the figures", " ".join(header.every_warning), "")
        elif header.every_note and not (header.prune and header.prune.setting):
            self.notify(" ".join(header.every_note), title=header.title, timeout=15)

    def _say(self, title: str, sentence: str, hint: str) -> None:
        from explorer.ui.screens.dialog import MessageDialog

        self.push_screen(MessageDialog(title, sentence, hint))

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,  # noqa: ARG002 - screens and widgets pass their own default
    ) -> None:
        """Shows a notice. Every notice passes here, and none is read as markup: names may hold square brackets."""
        super().notify(with_keys(self.screen, message), title=title, severity=severity, timeout=timeout, markup=False)

    def copy_to_clipboard(self, text: str) -> None:
        """Copies by the terminal's escape sequence; where no terminal takes it, only within this program."""
        from explorer.ui.clipboard import Way, route

        if route(os.environ).way is Way.NONE:
            self.keep_copy(text)
        else:
            super().copy_to_clipboard(text)

    def keep_copy(self, text: str) -> None:
        """Puts a text on this program's own clipboard."""
        self._clipboard = text

    # Themes and leaving.

    def action_next_theme(self) -> None:
        names = theme.THEME_NAMES
        place = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(place + 1) % len(names)]
        self.notify(theme.IN_WORDS[self.theme], title="Colours", timeout=2)

    def action_help_quit(self) -> None:
        """What Ctrl+C does: it only says how to quit."""
        self.notify(f"{key_of('quit')} quits. Ctrl+C does not, as people press it to copy.", title="Quit")

    async def action_quit(self) -> None:
        sentence = self._unsaved
        if not sentence:
            self.leave()
            return
        from explorer.ui.screens.dialog import ChoiceDialog, DialogChoice

        def answered(way: str | None) -> None:
            if way == "q":
                self.leave()
            elif way == "e":
                self.main.action_save()

        ways = (
            DialogChoice("s", "stay", "Continues as before."),
            DialogChoice("e", "save elsewhere", "Writes all of it into another file."),
            DialogChoice("q", "quit", "Quits and loses these lines."),
        )
        self.push_screen(ChoiceDialog("Quit", sentence, ways), answered)

    def leave(self) -> None:
        self.close_sources()
        self.exit(0)

    def close_sources(self) -> None:
        """Stops all work; nothing that was measured is lost. May be called again."""
        self._let_go()
        for shown, _ in self._under:
            shown.source.close()


def run_explorer(
    source: Source | None = None,
    *,
    launcher: Launcher | None = None,
    folder: Path | None = None,
    look: ScreenOptions = SCREEN_DEFAULTS,
    keymap: Mapping[str, str] = MappingProxyType({}),
    welcome: bool = False,
    tour: bool = False,
) -> int:
    """Opens the explorer, on a source, on the list of recordings or on the ways to begin, and returns the exit code.

    With `tour`, what it is opened on is the tour's."""
    app = ExplorerApp(source, launcher=launcher, folder=folder, look=look, keymap=keymap, welcome=welcome)
    if tour:
        app.guide.begin()
    return app.run() or 0


def import_ahead() -> None:
    """Imports the screen that takes longest, while the models load: at its key it would hold the screen up."""
    import explorer.ui.screens.why  # noqa: F401
