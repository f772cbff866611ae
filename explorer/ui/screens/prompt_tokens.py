"""What the models would read: the prompt after the chat template, and its tokens, before any run."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from explorer.sources.source import Source
from explorer.state.view import View
from explorer.ui.commands import COPY, EXPLAIN, HELP, PALETTE, QUIT, THEME, Command
from explorer.ui.screens.page import Page, too_small
from explorer.ui.theme import palette
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.prompt_tokens import RenderedText, TokenRows
from explorer.ui.widgets.row_list import RowConfirmed, RowPointed
from explorer.words.token_text import flowing
from probes.schema.events import PromptRendered
from probes.schema.requests import RenderPrompt
from probes.schema.settings import RunSettings

RENDERING = "The tokenizer reads the prompt after the step in progress."
_PAGE = 10
"""Rows that a page key goes."""


class PromptTokens(Page):
    """Shows the prompt of settings that no run has begun with."""

    HOME = "#prompt-tokens"
    AUTO_FOCUS = "#prompt-tokens"
    COMMAND_TABLE = (
        Command(
            {"down,right": "move(1)", "up,left": "move(-1)"},
            "↑ ↓",
            "Goes from token to token.",
            label="token",
            weight=80,
        ),
        Command({"pagedown": f"move({_PAGE})", "pageup": f"move(-{_PAGE})"}, "PgUp PgDn", "Goes ten tokens on."),
        Command({"home": "move(-1000000)", "end": "move(1000000)"}, "Home End", "Goes to the first or last token."),
        replace(COPY, help="Copies the text as the models read it.", weight=60),
        replace(EXPLAIN, help="Explains this page.", weight=50),
        THEME,
        Command(
            {"escape": "leave"},
            "Esc",
            "Returns to the editor; of a recording, to the run.",
            label=lambda screen: "back to the editor" if screen.view.live else "back",
            name="Prompt: Back",
            weight=90,
        ),
        replace(HELP, weight=55),
        QUIT,
        PALETTE,
    )

    def __init__(self, source: Source, view: View, settings: RunSettings) -> None:
        super().__init__()
        self.view: View = view
        self._request = RenderPrompt(settings)
        self._source = source
        self._row = 0

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Horizontal(id="prompt-body"):
            yield RenderedText()
            yield TokenRows()
        yield too_small()
        yield KeyLine()

    def on_mount(self) -> None:
        super().on_mount()
        self._source.ask(self._request)

    def show(self) -> None:
        answer = self._answer
        found, fault = (answer.found, answer.fault) if answer is not None else (None, RENDERING)
        self.query_one("#title", Static).update(self._title())
        self.query_one(TokenRows).show(found, "")
        self.query_one(RenderedText).show(found, self._row, fault)
        self.query_one(KeyLine).show(self.key_hints())

    def action_move(self, tokens: int) -> None:
        rows = self.query_one(TokenRows)
        self._row = max(0, min(self._row + tokens, rows.count - 1))
        rows.move_to(self._row)
        self.show()

    @on(RowPointed)
    @on(RowConfirmed)
    def point(self, message: RowPointed | RowConfirmed) -> None:
        message.stop()
        self.action_move(message.place - self._row)

    def action_explain(self) -> None:
        from explorer.ui.screens.help import ExplanationDialog
        from explorer.words.explanations import explanation_of

        self.app.push_screen(ExplanationDialog(explanation_of("tokens")))

    def action_leave(self) -> None:
        self.app.pop_screen()

    @property
    def _answer(self) -> PromptRendered | None:
        answer = self.view.rendered
        return answer if answer is not None and answer.request == self._request.id else None

    def _title(self) -> Text:
        colours, header = palette(self.app.theme), self.view.header
        name = flowing(header.dense.name) if header is not None else ""
        return Text.assemble(
            (" the prompt as tokens  ", colours.strong), (name, colours.dense), no_wrap=True, overflow="ellipsis"
        )
