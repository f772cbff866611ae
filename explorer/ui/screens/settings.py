"""The dialog of a run's settings: sampler, temperatures, steps, context. They are checked while they are typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.history_field import HistoryInput, WholeHistoryInput, remember
from explorer.ui.widgets.plain_text import PlainText
from explorer.words.defaults import with_context
from probes.models.prompt_file import STANDARD_INPUT, given_text
from probes.schema.errors import BadInput
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.system.user_folders import expanded


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    label: str
    about: str
    """A sentence for the line below, and for the field while it is empty."""
    empty: str = ""
    """In the field while it is empty, if the sentence is too long for it."""


FIELDS = (
    Field(
        "follow", "context", "dense, pruned, free or text: which text each model sees", "dense, pruned, free or text"
    ),
    Field("temperature", "temperature", "0 is greedy"),
    Field("top_k", "top-k", "0 keeps all tokens"),
    Field("top_p", "top-p", "1 keeps all tokens"),
    Field("seed", "seed", "one seed for both models"),
    Field(
        "analysis",
        "analysis temperature",
        "T of the compared distributions; empty takes the sampler's, or 1",
        "empty: the sampler's, or 1",
    ),
    Field("steps", "steps", "the longest run; empty is 128, or all of a text", "empty: 128, or all of a text"),
    Field("text", "text", "the text to score: type it, or paste it; ↑ ↓ go through earlier ones", "the text to score"),
    Field(
        "text_file",
        "text from a file",
        "a UTF-8 file, in place of the text above; ↑ ↓ go through earlier ones",
        "a UTF-8 file, in place of the text above",
    ),
)
LONGEST_SHOWN = 2000
"""Characters of the longest text that its field shows. A longer one stays as it is while the field is empty."""


class AskSettings(Dialog[RunSettings]):
    """Gives changed settings, for a new run."""

    title_text = "Settings"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Starts a new run with these settings.", label="starts a new run"),
        Command(
            {"tab": "", "down": "app.focus_next", "up": "app.focus_previous"},
            "Tab",
            "Goes to the next field, as the arrows do where they find nothing earlier.",
            label="next field",
        ),
        CANCEL,
    )

    def __init__(self, settings: RunSettings, follow: Follow | None = None) -> None:
        super().__init__()
        self._settings = settings
        self._follow = follow or settings.follow
        self._first = "text" if follow is Follow.TEXT else "follow"

    def body(self) -> Iterator[Widget]:
        values = written(self._settings) | {"follow": self._follow.value, "text": self._shown_text, "text_file": ""}
        for field in FIELDS:
            yield Row(field, values[field.name], self._kept if field.name == "text" else "")
        yield PlainText("", id="verdict", classes="hint")

    def on_mount(self) -> None:
        self.query_one(f"#{self._first}", Input).focus()
        self.check()

    @on(Input.Changed)
    def check(self) -> None:
        self._say(self._read()[1])

    def _say(self, fault: str) -> None:
        """Shows a fault, or what the field in focus is about."""
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault), "fault")
        focused = self.focused.id if self.focused else ""
        about = next((field.about for field in FIELDS if field.name == focused), "")
        verdict.update(fault or about)

    @property
    def _shown_text(self) -> str:
        return self._settings.text if len(self._settings.text) <= LONGEST_SHOWN else ""

    @property
    def _kept(self) -> str:
        """What the field of a text too long to be shown says; "" if it is shown."""
        count = len(self._settings.text)
        return f"the present one, {count:,} characters" if count > LONGEST_SHOWN else ""

    def on_descendant_focus(self) -> None:
        self.check()

    @on(Input.Submitted)
    def submit(self) -> None:
        settings, fault = self._read(with_file=True)
        if fault:
            self._say(fault)
        elif settings is not None:
            path = self.query_one("#text_file", Input).value.strip()
            text = "" if path or len(settings.text) > LONGEST_SHOWN else settings.text
            remember(self.app, ("text", text), ("file", str(expanded(path).absolute()) if path else ""))
            self.dismiss(settings)

    def _read(self, *, with_file: bool = False) -> tuple[RunSettings | None, str]:
        """The settings in the fields, or the fault in them. While they are typed, a named file is not looked at."""
        values = {field.name: self.query_one(f"#{field.name}", Input).value.strip() for field in FIELDS}
        values["text"] = self.query_one("#text", Input).value or (self._settings.text if self._kept else "")
        try:
            if path := values.pop("text_file"):
                if path == STANDARD_INPUT:
                    raise BadInput("Text", "Standard input is this screen's.", "Name a file.")
                values["text"] = given_text(path, "text") if with_file else path
            return typed_settings(values, self._settings), ""
        except BadInput as problem:
            return None, f"{problem.title}: {problem.message} {problem.hint}".strip()


class Row(Horizontal):
    """A name and its field."""

    def __init__(self, field: Field, value: str, placeholder: str = "") -> None:
        super().__init__(classes="row")
        self._field = field
        self._placeholder = placeholder or field.empty or field.about
        self._value = value

    def compose(self) -> ComposeResult:
        yield Label(self._field.label, markup=False)
        name = self._field.name
        options: dict[str, Any] = {"placeholder": self._placeholder, "id": name, "compact": True}
        match name:
            case "text":
                yield WholeHistoryInput("text", self._value, **options)
            case "text_file":
                yield HistoryInput("file", self._value, **options)
            case _:
                yield Input(self._value, **options)


def written(settings: RunSettings) -> dict[str, str]:
    """The settings as the fields show them."""
    sampling = settings.sampling
    return {
        "follow": settings.follow.value,
        "temperature": _plain(sampling.temperature),
        "top_k": f"{sampling.top_k}",
        "top_p": _plain(sampling.top_p),
        "seed": f"{sampling.seed}",
        "analysis": "" if settings.analysis_temperature is None else _plain(settings.analysis_temperature),
        "steps": f"{settings.steps or ''}",
        "text": settings.text,
    }


def typed_settings(values: dict[str, str], before: RunSettings) -> RunSettings:
    """The settings that the fields hold. Raises `BadInput` if one of them can't be used."""
    try:
        follow = Follow(values["follow"])
    except ValueError:
        modes = ", ".join(Follow)
        raise BadInput("Context", f"{values['follow']!r} is not a context.", f"Use one of: {modes}.") from None
    if follow is Follow.TEXT and not values["text"]:
        raise BadInput("No text", "The context text needs a text to score.", "Paste or type it, or name its file.")
    analysis = values["analysis"]
    return replace(
        with_context(before, follow, values["text"]),
        sampling=Sampling(
            temperature=_number(values["temperature"], "Temperature"),
            top_k=_whole(values["top_k"], "Top-k"),
            top_p=_number(values["top_p"], "Top-p"),
            seed=_whole(values["seed"], "Seed"),
        ),
        analysis_temperature=_number(analysis, "Analysis temperature") if analysis else None,
        steps=_whole(values["steps"] or "0", "Steps"),
    )


def _plain(value: float) -> str:
    """All of its digits, and no more."""
    return repr(value).removesuffix(".0")


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(name, f"{text!r} is not a number.") from None


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(name, f"{text!r} is not a whole number.") from None
