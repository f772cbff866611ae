"""The main screen. Its panels follow the forward pass from top to bottom, and all show the step at the cursor."""

from __future__ import annotations

from typing import Protocol

from textual import on
from textual.app import ComposeResult

from explorer.sources.playback import next_speed
from explorer.sources.source import Source
from explorer.state.explain_requests import ExplainRequests
from explorer.state.judge_requests import JudgeRequests
from explorer.state.setting_history import SettingHistory
from explorer.state.view import Phase, View
from explorer.ui.commands import Command
from explorer.ui.messages import RetryAsked, ReturnAsked, StepPointed, TokenChosen
from explorer.ui.screens.main_actions import MainActions
from explorer.ui.screens.main_commands import MAIN_COMMANDS, is_busy, why_not_here
from explorer.ui.screens.page import too_small
from explorer.ui.widgets.key_line import KeyHint, KeyLine
from explorer.ui.widgets.kl_strip import KlStrip
from explorer.ui.widgets.next_tokens import NextTokens
from explorer.ui.widgets.opening import Opening
from explorer.ui.widgets.reading_panel import ReadingPanel
from explorer.ui.widgets.repaint_cache import PanelColumn, PanelRow
from explorer.ui.widgets.space_panel import SPACES, SpacePanel
from explorer.ui.widgets.status import Status
from explorer.ui.widgets.text_panel import TextPanel
from explorer.ui.widgets.title import Title
from explorer.words.explanations import explanation_of
from explorer.words.watched import toggled
from probes.schema.requests import Cancel, Pause, PlayAt, Repeat, Run, Step, ToEnd, Watch


class Region(Protocol):
    """A part of the screen that draws itself from the view."""

    def show(self, view: View) -> None: ...


class MainScreen(MainActions):
    """Owns the regions. `show` passes them the view, and each draws itself."""

    AUTO_FOCUS = "#table"
    COMMAND_TABLE = MAIN_COMMANDS

    def __init__(self, source: Source, view: View) -> None:
        super().__init__()
        self.source = source
        self.view = view
        self.history = SettingHistory()
        self.explaining = ExplainRequests(source, view)
        self.judging = JudgeRequests(source, view)

    def compose(self) -> ComposeResult:
        yield Title()
        yield Opening()
        with PanelColumn(id="body"):
            with PanelRow(id="texts"):
                yield TextPanel("dense", id="dense")
                yield TextPanel("pruned", id="pruned")
            with PanelRow(id="spaces"):
                for space in SPACES:
                    yield SpacePanel(space)
            with PanelRow(id="step"):
                yield NextTokens(id="table")
                yield ReadingPanel()
            yield KlStrip(id="strip")
            yield Status()
        yield too_small()
        yield KeyLine()

    def on_mount(self) -> None:
        self._regions: list[Region] = [
            *self.query(TextPanel),
            *self.query(SpacePanel),
            self.query_one(NextTokens),
            self.query_one(ReadingPanel),
            self.query_one(KlStrip),
            self.query_one(Status),
        ]
        super().on_mount()
        self.show()  # what is seen at the start decides what is under focus

    def show(self) -> None:
        """Updates every region from the view. A region that looks the same as before does nothing."""
        view = self.view
        self.history.notice(view)
        self.set_class(view.header is None, "-opening")
        self.query_one(Title).show(view)
        if view.header is None:
            self.query_one(Opening).show(view)
        else:
            for region in self._regions:
                region.show(view)
        self.query_one(KeyLine).show(self.key_hints())

    @property
    def command_state(self) -> View:
        return self.view

    def key_hints(self) -> list[KeyHint]:
        """While the models are busy only what is possible; in a recording what is possible comes first."""
        hints = super().key_hints()
        if is_busy(self.view):
            return [hint for hint in hints if hint.enabled]
        return hints if self.view.live else sorted(hints, key=lambda hint: not hint.enabled)

    def why_not(self, command: Command[View]) -> str:
        return why_not_here(self.view, command)

    # Running.

    def action_run(self) -> None:
        if self.view.running:
            self.source.ask(Pause())
        else:
            self.view.follow_newest()
            self.source.ask(Run())
            self.show()

    def action_step(self) -> None:
        if self.find_next():
            return
        self.view.follow_newest()
        self.source.ask(Step())
        self.show()

    def action_bracket(self, first: bool) -> None:
        """Changes the speed of a recording; a live run has a span marked."""
        playback = self.view.playback
        if playback is not None:
            self.source.ask(PlayAt(next_speed(playback, faster=not first)))
        else:
            self.view.mark(first=first)
            self.show()

    def action_loop(self) -> None:
        playback = self.view.playback
        if playback is not None:
            self.source.ask(Repeat(not playback.loop))

    def action_rest(self) -> None:
        if self.view.playback is not None:
            self.view.follow_newest()
            self.source.ask(ToEnd())

    def action_retry(self) -> None:
        self.post_message(RetryAsked())

    # The cursor.

    @on(StepPointed)
    def point(self, message: StepPointed) -> None:
        message.stop()
        self.go_to_step(message.step)

    # The table.

    def action_row(self, rows: int) -> None:
        self.query_one(NextTokens).move(rows)

    def action_fork(self) -> None:
        self.query_one(NextTokens).confirm()

    @on(TokenChosen)
    def fork_with(self, message: TokenChosen) -> None:
        message.stop()
        if self.is_possible("fork"):
            self.ask_fork(message.token_id, message.token, message.record)

    def action_mark_token(self) -> None:
        """Watches the token chosen in the table, or no longer."""
        table = self.query_one(NextTokens)
        if (row := table.chosen) is not None:
            groups = toggled(self.view.watch, table.watched, row.token_id, row.token)
            self.view.keep_cursor()
            self.source.ask(Watch(groups))

    def action_contexts(self) -> None:
        self.view.own_contexts = not self.view.own_contexts
        self.show()

    # Looking.

    def action_scale(self) -> None:
        self.view.log_scale = not self.view.log_scale
        self.show()

    def action_widen(self, factor: float) -> None:
        self.view.widen(factor)
        self.show()

    def action_explain(self) -> None:
        from explorer.ui.screens.help import ExplanationDialog

        self.app.push_screen(ExplanationDialog(explanation_of(self.panel.id or "table")))

    def action_back(self) -> None:
        if self.zoomed:
            self.close_zoom()
        elif self.view.work is not None or self.view.phase is Phase.STARTING:
            self.source.ask(Cancel())
        elif self.end_search():
            pass
        elif self.view.under is not None or (self.view.returnable and self.view.phase is Phase.FAILED):
            self.post_message(ReturnAsked())
        else:
            self.clear_selection()
