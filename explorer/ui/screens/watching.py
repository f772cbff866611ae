"""The watched tokens over the steps: their probabilities in both models, and the distributions over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.sources.source import Source
from explorer.state.view import View
from explorer.ui.commands import COPY, DEFINE, EXPLAIN, HELP, PALETTE, QUIT, THEME, Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.messages import ModelsAsked, StepPointed
from explorer.ui.screens.cursor_page import (
    STEP_OR_NEXT,
    CursorPage,
    can_find_next,
    cursor_commands,
    models_needed,
)
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.screens.model_names import model_names
from explorer.ui.screens.page import too_small
from explorer.ui.theme import palette
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.watch_board import NOTHING, WatchBoard, WatchLook
from explorer.words.bound_keys import key_of
from explorer.words.watched import forms_text, label_text
from probes.schema.errors import BadInput
from probes.schema.requests import Pause, Run, Step, Watch
from probes.schema.watch import WATCH_GRAMMAR, WatchedGroup, parse_watch, write_watch


def _has_models(screen: WatchScreen) -> bool:
    return screen.view.live and screen.view.work is None


def _can_step(screen: WatchScreen) -> bool:
    return _has_models(screen) or can_find_next(screen.view)


def _is_watching(screen: WatchScreen) -> bool:
    return bool(screen.view.watch)


def _can_load(screen: WatchScreen) -> bool:
    return screen.view.revivable


def _view(screen: WatchScreen) -> View:
    return screen.view


WATCH_COMMANDS: tuple[Command[WatchScreen], ...] = (
    Command(
        {"e": "name"},
        "e",
        "Names the tokens to watch; the steps are measured again.",
        label="tokens",
        name="Watch: Name tokens",
        when=_has_models,
        weight=90,
    ),
    *cursor_commands(_view),
    Command({"up": "", "down": ""}, "↑ ↓", "Scrolls the groups.", when=_is_watching),
    Command(
        {"s": "shares"},
        "s",
        "Shows the shares among the watched groups, or the probabilities.",
        label="shares",
        name="Watch: Shares or probabilities",
        when=_is_watching,
        weight=70,
    ),
    Command(
        {"c": "contexts"},
        "c",
        "After the texts diverge: the figures on the dense text, or each model's on its own.",
        label="contexts",
        name="View: Figures' context",
        when=lambda screen: screen.view.diverged,
        weight=40,
    ),
    Command({"plus,equals_sign": "widen(0.5)"}, "+", "Shows fewer steps in the charts.", name="View: Fewer steps"),
    Command({"minus": "widen(2)"}, "−", "Shows more steps in the charts, up to all.", name="View: More steps"),
    Command({"l": "scale"}, "l", "Draws the KL on a log scale, or a linear one.", name="View: Log or linear"),
    Command(
        {"space": "run"},
        "space",
        "Runs both models, or pauses them.",
        label=lambda screen: "pause" if screen.view.running else "run",
        name="Run: Go or pause",
        when=_has_models,
        weight=60,
    ),
    Command(
        {"n": "step"},
        "n",
        STEP_OR_NEXT,
        label=lambda screen: "next" if can_find_next(screen.view) else "step",
        name="Run: One step, or the next found",
        when=_can_step,
        weight=50,
    ),
    Command(
        {"m": "models"},
        "m",
        "Loads the models of a recording and continues from the cursor.",
        label="models",
        name="Models: Load and continue",
        when=_can_load,
        offered=_can_load,
        weight=75,
    ),
    replace(EXPLAIN, weight=65),
    DEFINE,
    replace(HELP, weight=68),
    replace(COPY, weight=10),
    replace(THEME, weight=5),
    Command({"escape": "leave"}, "Esc", "Returns to the main screen.", label="back", name="Watch: Leave", weight=80),
    QUIT,
    PALETTE,
)


class WatchScreen(CursorPage):
    """Shows the watched groups at the cursor and over the steps."""

    HOME = "#board"
    AUTO_FOCUS = "#board"
    COMMAND_TABLE = WATCH_COMMANDS

    def __init__(self, source: Source, view: View) -> None:
        super().__init__()
        self._source = source
        self.view: View = view
        self._look = WatchLook()

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            yield Static(with_keys(self, NOTHING), id="watch-note", markup=False)
            yield WatchBoard()
        yield too_small()
        yield KeyLine()

    def show(self) -> None:
        self.query_one("#title", Static).update(self._title())
        self.query_one("#watch-note").display = not self.view.watch
        self.query_one(WatchBoard).show(self.view, self._look)
        self.query_one(KeyLine).show(self.key_hints())

    def why_not(self, command: Command[WatchScreen]) -> str:
        if command.when in (_has_models, _can_step):
            return "The models are busy." if self.view.live else models_needed(self.view)
        return f"Nothing is watched yet. {key_of('name')} names tokens." if command.when is _is_watching else ""

    def _title(self) -> Text:
        colours, view, header = palette(self.app.theme), self.view, self.view.header
        names = (header.dense.name, header.title) if header else ("", "")
        title = Text.assemble(
            (" watched tokens  ", colours.strong),
            (f"step {view.cursor}/{view.newest}  ", colours.text),
            ("" if view.live else "recording  ", colours.muted),
        )
        return model_names(title, *names, self.size.width, colours)

    @on(StepPointed)
    def point(self, message: StepPointed) -> None:
        message.stop()
        self.go_to_step(message.step)

    def action_name(self) -> None:
        def answered(groups: tuple[WatchedGroup, ...] | None) -> None:
            if groups is not None and groups != self.view.watch:
                self.view.keep_cursor()
                self._source.ask(Watch(groups))

        self.app.push_screen(AskWatched(self.view.watch), answered)

    def action_shares(self) -> None:
        self._look = replace(self._look, shares=not self._look.shares)
        self.show()

    def action_contexts(self) -> None:
        self.view.own_contexts = not self.view.own_contexts
        self.show()

    def action_widen(self, factor: float) -> None:
        self.view.widen(factor)
        self.show()

    def action_scale(self) -> None:
        self.view.log_scale = not self.view.log_scale
        self.show()

    def action_run(self) -> None:
        self._source.ask(Pause() if self.view.running else Run())

    def action_step(self) -> None:
        if not self.find_next():
            self._source.ask(Step())

    def action_models(self) -> None:
        self.post_message(ModelsAsked())

    def action_explain(self) -> None:
        from explorer.ui.screens.help import ExplanationDialog
        from explorer.words.explanations import explanation_of

        self.app.push_screen(ExplanationDialog(explanation_of("board")))

    def action_leave(self) -> None:
        self.app.pop_screen()


class AskWatched(Dialog[tuple[WatchedGroup, ...]]):
    """Asks for groups as `probes.schema.watch.WATCH_GRAMMAR` writes them."""

    title_text = "Watch tokens"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Watches them, and measures the steps again.", label="watches them"),
        CANCEL,
    )

    def __init__(self, watch: tuple[WatchedGroup, ...]) -> None:
        super().__init__()
        self._watch = watch

    def body(self) -> Iterator[Widget]:
        yield Static("Which tokens should be followed? Empty watches none.", markup=False)
        yield Input(write_watch(self._watch), placeholder=WATCH_GRAMMAR, id="groups")
        yield Static("", id="verdict", classes="hint", markup=False)
        yield Static(
            "Groups are divided by |, their tokens by commas: the probabilities of a group are added. Quotation marks "
            'keep a space or a sign, as in " A", "|" or "\\n". #198 is a token by its id, and yes=Yes a named group.',
            classes="hint",
            markup=False,
        )

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        groups, fault = read_watched(event.value)
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault), "fault")
        verdict.update(fault or groups_text(groups))

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        groups, fault = read_watched(event.value)
        if not fault:
            self.dismiss(groups)


def read_watched(text: str) -> tuple[tuple[WatchedGroup, ...], str]:
    """The groups that are typed, and the fault in them; "" if there is none."""
    try:
        return parse_watch(text), ""
    except BadInput as problem:
        return (), f"{problem.message} {problem.hint}".strip()


def groups_text(groups: tuple[WatchedGroup, ...]) -> str:
    """The groups in words: A is "A" or " A"; B is "B"."""
    if not groups:
        return "No token is watched."
    return "; ".join(f"{label_text(group.label)} is {forms_text(group, ' or ')}" for group in groups)
