"""The base of the screens about many items: what they show, where they lead, and why a key has no effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from explorer.sources.source import Source
from explorer.state.judge_requests import JudgeRequests
from explorer.state.view import View
from explorer.ui.commands import Command
from explorer.ui.screens.cursor_page import models_needed
from explorer.ui.screens.page import too_small
from explorer.ui.screens.reasoned_page import ReasonedPage
from explorer.ui.screens.setting_title import setting_title
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.scoring_status import ScoringStatus
from probes.schema.settings import RunSettings


class ResultsPage(ReasonedPage):
    """A screen that shows results of the present setting."""

    def __init__(self, source: Source, view: View, judging: JudgeRequests) -> None:
        super().__init__()
        self._source = source
        self.view: View = view
        self.judging: JudgeRequests = judging

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            yield from self.regions()
            yield ScoringStatus()
        yield too_small()
        yield KeyLine()

    def regions(self) -> ComposeResult:
        """What is between the title and the status."""
        raise NotImplementedError

    def show_around(self, name: str, *, searching: bool = False, found: str = "") -> None:
        """Updates the title, the status and the key line. `found` is the sentence of an open search."""
        self.query_one("#title", Static).update(
            setting_title(name, self.judging, self.view, self.app.theme, self.size.width)
        )
        self.query_one(ScoringStatus).show(self.view, self.judging, searching=searching, found=found)
        self.query_one(KeyLine).show(self.key_hints())

    @property
    def has_models(self) -> bool:
        """Are the models there and not busy?"""
        return self.view.live and self.view.header is not None and self.view.work is None

    def why_no_models(self) -> str:
        """Why the models can't be used now; "" if they can."""
        if not self.view.live or self.view.header is None:
            return models_needed(self.view)
        return "The models are busy." if self.view.work is not None else ""

    def why_not(self, command: Command[Any]) -> str:  # noqa: ARG002 - subclasses look at it
        return self.why_no_models()

    def open_run(self, settings: Callable[[RunSettings], RunSettings], name: str, *, first_step: bool) -> None:
        """Begins a run to look at something, and shows it."""
        self.judging.open_run(settings, name, first_step=first_step)
        self.show_main()

    def show_main(self) -> None:
        """Goes to the main screen."""
        from explorer.ui.screens.main import MainScreen

        app = self.app
        while not isinstance(app.screen, MainScreen):
            app.pop_screen()

    def explain(self, panel: str) -> None:
        """Explains a panel."""
        from explorer.ui.screens.help import ExplanationDialog
        from explorer.words.explanations import explanation_of

        self.app.push_screen(ExplanationDialog(explanation_of(panel)))

    def action_leave(self) -> None:
        if self.zoomed:
            self.close_zoom()
        else:
            self.app.pop_screen()
