"""The prompt editor: a box for the system prompt, and one for each turn. A new prompt starts a new run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Label, Static, TextArea

from explorer.sources.source import Source
from explorer.state.typed_history import FieldKind
from explorer.state.view import View
from explorer.ui.commands import Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.checkbox import CheckboxLine
from explorer.ui.widgets.history_field import HistoryArea, HistoryInput, remember
from explorer.words.bound_keys import key_of
from explorer.words.token_text import flowing
from probes.schema.conversation import (
    ASSISTANT,
    SYSTEM,
    USER,
    Conversation,
    TemplateArg,
    Turn,
    conversation_of,
    template_args,
)
from probes.schema.errors import BadInput
from probes.schema.settings import Follow, RunSettings

NEW_RUN = (
    f"{key_of('start')} runs it; ⏎ only begins a new line. What you type replaces the marked text, ← or → keeps it. "
    "↑ ↓ bring earlier prompts. The run before is kept."
)
_HISTORIES: dict[str, FieldKind] = {SYSTEM: "system", ASSISTANT: "assistant"}


class TurnBox(Horizontal):
    """Who says something, and what."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(classes="turn")
        self._turn = turn

    def compose(self) -> ComposeResult:
        yield Label(flowing(self._turn.role), markup=False)
        area = HistoryArea(self.history, self._turn.content, placeholder=self._placeholder, compact=True)
        area.move_cursor(area.document.end)
        yield area

    @property
    def role(self) -> str:
        return self._turn.role

    @property
    def history(self) -> FieldKind:
        return _HISTORIES.get(self.role, "prompt")

    @property
    def said(self) -> Turn:
        return Turn(self.role, self.query_one(HistoryArea).text)

    @property
    def _placeholder(self) -> str:
        return "none; the template may have one of its own" if self.role == SYSTEM else "left out while it is empty"


class AskPrompt(Dialog[RunSettings]):
    """Asks for a prompt and the turns before it, and returns the settings with them."""

    title_text = "Prompt"
    AUTO_FOCUS = ""  # the last turn of the user
    COMMAND_TABLE = (
        Command({"f2": "start"}, "F2", "Starts a new run.", label="runs", name="Prompt: Start", priority=True),
        Command(
            {"f3": "tokens"},
            "F3",
            "Shows what the models would read, token by token.",
            label="tokens",
            name="Prompt: Tokens",
            priority=True,
        ),
        Command({"f4": "turn"}, "F4", "Adds a turn.", label="new turn", name="Prompt: Add a turn", priority=True),
        Command(
            {"f5": "choose"},
            "F5",
            "Chooses a prompt from a file.",
            label="file",
            name="Prompt: Choose from a file",
            priority=True,
        ),
        Command({"tab": ""}, "Tab", "Moves the focus to the next box.", label="next"),
        CANCEL,
    )

    def __init__(self, source: Source, view: View, settings: RunSettings, own: RunSettings | None = None) -> None:
        """`own` are the settings of the person's own run, if `settings` are those of an item that was opened: another
        prompt is run with them."""
        super().__init__()
        self._source = source
        self._view = view
        self._settings = settings
        self._own = own

    def body(self) -> Iterator[Widget]:
        settings = self._settings
        with VerticalScroll(id="turns", can_focus=False):
            yield from _boxes(settings.conversation)
        with Horizontal(classes="row"):
            yield Label("template", markup=False)
            yield HistoryInput(
                "template", written_args(settings.template_args), placeholder="enable_thinking=false", id="template"
            )
        yield CheckboxLine("send it unchanged, without the chat template", settings.raw, id="raw")
        yield Static(with_keys(self, NEW_RUN), classes="hint", id="verdict", markup=False)

    def on_mount(self) -> None:
        last = self._last_of(USER).query_one(HistoryArea)
        last.focus()
        last.select_all()

    @on(Input.Submitted, "#template")
    def submit(self) -> None:
        self.action_start()

    @on(TextArea.Changed)
    @on(Input.Changed)
    def check(self) -> None:
        """A fault that was found at a key stays until it is mended."""
        if not self.query_one("#verdict", Static).has_class("fault") or self._checked() is not None:
            self._say(self._about())

    def on_descendant_focus(self) -> None:
        here = self.focused.parent if self.focused is not None else None
        for box in self._all:
            box.set_class(box is here, "-in")
        self.check()

    def read(self) -> RunSettings:
        """The settings that the boxes hold. Raises `BadInput` for those that no run can have."""
        said = [box.said for box in self._all if box.said.content.strip()]
        args = read_args(self.query_one("#template", Input).value)
        raw = self.query_one("#raw", CheckboxLine).value
        if said:
            asked = conversation_of(said)
        else:
            asked = Conversation((), self._last_of(USER).said.content)
            if not asked.prompt and self._settings.follow is not Follow.TEXT:
                raise BadInput("Empty prompt", "A run needs a prompt of at least one character.")
        base = self._settings if self._own is None or asked == self._settings.conversation else self._own
        return replace(base, prompt=asked.prompt, turns=asked.turns, begun=asked.begun, raw=raw, template_args=args)

    def action_start(self) -> None:
        if (settings := self._checked()) is None:
            return
        typed = [(box.history, box.said.content) for box in self._all]
        remember(self.app, *typed, ("template", self.query_one("#template", Input).value))
        self.dismiss(settings)

    def action_tokens(self) -> None:
        if (settings := self._checked()) is not None:
            from explorer.ui.screens.prompt_tokens import PromptTokens

            self.app.push_screen(PromptTokens(self._source, self._view, settings))

    async def action_turn(self) -> None:
        """Adds a box after the last one, for the other side; an empty last box waits for its turn itself."""
        last = self._all[-1]
        if last.role != SYSTEM and last.said.content.strip():
            last = TurnBox(Turn(USER if last.role == ASSISTANT else ASSISTANT, ""))
            await self.query_one("#turns").mount(last)
        last.query_one(HistoryArea).focus()

    def action_choose(self) -> None:
        from explorer.ui.screens.prompt_file import ChoosePrompt

        async def answered(chosen: Conversation | None) -> None:
            if chosen is not None:
                turns = self.query_one("#turns")
                await turns.remove_children()
                await turns.mount(*_boxes(chosen))
                if self._own is not None:
                    self.query_one("#raw", CheckboxLine).value = self._own.raw
                self._last_of(USER).query_one(HistoryArea).focus()

        self.app.push_screen(ChoosePrompt(), answered)

    def _checked(self) -> RunSettings | None:
        """The settings; None, with a sentence, if they can't be used."""
        try:
            return self.read()
        except BadInput as problem:
            self._say(f"{problem.message} {problem.hint}".strip(), fault=True)
            return None

    def _say(self, sentence: str, *, fault: bool = False) -> None:
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(fault, "fault")
        verdict.update(with_keys(self, sentence))

    def _about(self) -> str:
        """A sentence about the box in focus."""
        box = self.focused.parent if self.focused is not None else None
        if isinstance(box, TurnBox) and box is self._all[-1] and box.role == ASSISTANT:
            return "The beginning of the answer, as it is here: the models go on writing it."
        if self.focused is not None and self.focused.id == "template":
            return f"Variables of the chat template, NAME=VALUE, divided by spaces. {key_of('start')} runs it."
        return NEW_RUN

    @property
    def _all(self) -> list[TurnBox]:
        return list(self.query(TurnBox))

    def _last_of(self, role: str) -> TurnBox:
        return next(box for box in reversed(self._all) if box.role == role)


def _boxes(asked: Conversation) -> list[TurnBox]:
    """A box for each turn; the first one is always for the system prompt."""
    begins = bool(asked.turns) and asked.turns[0].role == SYSTEM
    return [TurnBox(turn) for turn in (*(() if begins else (Turn(SYSTEM, ""),)), *asked.messages)]


def written_args(args: tuple[TemplateArg, ...]) -> str:
    """The arguments as `read_args` reads them."""
    return shlex.join(map(str, args))


def read_args(text: str) -> tuple[TemplateArg, ...]:
    """Arguments divided by spaces, quoted as in a shell. Raises `BadInput` for those that can't be read."""
    try:
        return template_args(shlex.split(text))
    except ValueError as problem:
        raise BadInput(
            "Template argument", "A quotation mark has no other one.", "Quote a value with spaces: day='26 July'."
        ) from problem
