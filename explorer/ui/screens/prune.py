"""The prune setting as text: checked while it is typed, and applied; and the name to save it under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from explorer.state.saved_settings import SavedSettings
from explorer.ui.commands import Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.dialog import CANCEL, Dialog, MessageDialog
from explorer.ui.widgets.history_field import HistoryInput, remember
from explorer.ui.widgets.marked_options import MarkedOptions
from explorer.ui.widgets.plain_text import PlainText
from explorer.words.bound_keys import key_of
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput, PhierError
from probes.schema.header import ModelInfo
from probes.schema.prune_setting import BadSetting, Setting, parse
from probes.schema.setting_layers import check_layers

FIELD_WIDTH = 56
"""Up to this length a setting fits into its field, so that carets under it point at the fault."""
OFFERED_EXAMPLES = (
    ("wanda:0.5", "half of all weights, by |weight|·activation"),
    ("magnitude:0.3", "the smallest 30 % of each matrix"),
    ("sparsegpt:2:4", "two of every four, the rest corrected"),
    ("wanda:0.5@layers=8-21", "the middle layers only"),
    ("neurons:0.25", "a quarter of each MLP's neurons"),
    ("heads:0.25", "a quarter of all key/value groups"),
    ("drop-attn:4", "the four attentions that change least"),
    ("drop-mlp@layers=12", "one MLP left out"),
)
RUNS_AGAIN = "The same prompt is run again on the new model."
DELETES = "⏎ uses it · Del deletes the name"


class OfferedSettings(MarkedOptions):
    """Saved and recent settings, and examples. The line below names what Del does, while there is a name to delete."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("delete", "screen.delete_name", show=False)]


class AskSetting(Dialog[Setting]):
    """Gives a prune setting, METHOD:AMOUNT[@TARGETS] joined by +."""

    title_text = "Prune"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Makes the pruned model by the setting.", label="applies"),
        Command({"up": ""}, "↑", "Shows what was typed earlier and begins like this.", label="earlier"),
        Command({"down": "examples"}, "↓", "Goes to the settings below.", label="saved, recent, examples"),
        CANCEL,
    )

    def __init__(
        self, present: Setting | None, earlier: Sequence[Setting], saved: SavedSettings, dense: ModelInfo
    ) -> None:
        """`earlier` are settings tried before, `saved` those with names; `dense` is the model to prune."""
        super().__init__()
        self._dense = dense
        self._present = str(present or "")
        self._saved = saved
        self._names: dict[str, str] = {}
        """The name of each saved setting."""
        self._earlier = [str(setting) for setting in earlier if setting != present]

    def body(self) -> Iterator[Widget]:
        yield HistoryInput("setting", self._present, placeholder="METHOD:AMOUNT[@TARGETS] + …", id="setting")
        yield PlainText("", id="verdict", classes="hint")
        try:
            self._names = self._saved.names()
        except PhierError as problem:
            self.notify(problem.message, title=problem.title)
        about = {text: f"“{flowing(name)}”" for text, name in self._names.items()}
        about |= {text: "earlier" for text in self._earlier if text not in about and text not in dict(OFFERED_EXAMPLES)}
        about |= {text: words for text, words in OFFERED_EXAMPLES if text not in about}
        yield OfferedSettings(*(Option(_offer(text, words), id=text) for text, words in about.items()), markup=False)
        yield PlainText(RUNS_AGAIN, id="about", classes="hint")

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        fault = fault_of(event.value, self._dense)
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(fault), "fault")
        verdict.update(fault or "METHOD:AMOUNT[@TARGETS], joined by +, read left to right.")

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        if not fault_of(event.value, self._dense):
            remember(self.app, ("setting", event.value))
            self.dismiss(parse(event.value))

    @on(OptionList.OptionSelected)
    def take(self, event: OptionList.OptionSelected) -> None:
        field = self.query_one("#setting", Input)
        field.value = event.option_id or ""
        field.focus()
        field.cursor_position = len(field.value)

    @on(OptionList.OptionHighlighted)
    @on(events.DescendantFocus)
    def offer(self) -> None:
        self.query_one("#about", Static).update(DELETES if self._under_cursor in self._names else RUNS_AGAIN)

    @property
    def _under_cursor(self) -> str:
        """The setting under the list's cursor; "" while the list is not in focus."""
        offered = self.query_one(OptionList)
        chosen = offered.highlighted_option if offered.has_focus else None
        return (chosen.id if chosen else None) or ""

    def action_examples(self) -> None:
        self.query_one(OptionList).focus()

    def action_delete_name(self) -> None:
        """Deletes the name of the setting under the list's cursor; the setting stays in the list."""
        setting = self._under_cursor
        name = self._names.get(setting)
        if name is None:
            return
        try:
            self._saved.delete(name)
            self._names = self._saved.names()
        except PhierError as problem:
            self.app.push_screen(MessageDialog(problem.title, problem.message, problem.hint))
            return
        other = self._names.get(setting)
        words = f"“{flowing(other)}”" if other else dict(OFFERED_EXAMPLES).get(setting, "earlier")
        self.query_one(OptionList).replace_option_prompt(setting, _offer(setting, words))
        self.query_one("#about", Static).update(f"“{flowing(name)}” is deleted.")


class AskName(Dialog[str]):
    """Gives the name to save the present setting under."""

    title_text = "Save the setting"
    COMMAND_TABLE = (Command({"enter": ""}, "⏎", "Saves the setting under the name.", label="saves"), CANCEL)

    def __init__(self, setting: Setting, name: str, taken: Mapping[str, str]) -> None:
        """`taken` are the settings that names are taken by."""
        super().__init__()
        self._setting = str(setting)
        self._called = name
        self._taken = taken

    def body(self) -> Iterator[Widget]:
        yield PlainText(flowing(self._setting))
        yield Input(self._called, placeholder="a name", id="name", max_length=40)
        yield PlainText("", id="verdict", classes="hint")

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        other = self._taken.get(event.value.strip())
        replaces = other is not None and other != self._setting
        lists = with_keys(self, f"{key_of('prune')} lists saved settings, now and in later sittings.")
        self.query_one("#verdict", Static).update(f"It replaces {other}." if replaces else lists)

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())
        else:
            self.query_one("#verdict", Static).update("Type a name.")


def _offer(setting: str, words: str) -> str:
    return f"{setting:<23} {words}"


def save_setting(screen: Screen[None], saved: SavedSettings, setting: Setting) -> None:
    """Asks for a name over a screen and saves the setting under it; shows a dialog if the file can't be used."""

    def answered(name: str | None) -> None:
        if name is None:
            return
        try:
            saved.save(name, setting)
        except PhierError as problem:
            screen.app.push_screen(MessageDialog(problem.title, problem.message, problem.hint))
        else:
            screen.notify(f"{setting} is saved as “{name}”.", title="Saved")

    try:
        screen.app.push_screen(AskName(setting, saved.name_of(setting), saved.all()), answered)
    except PhierError as problem:
        screen.app.push_screen(MessageDialog(problem.title, problem.message, problem.hint))


def fault_of(setting: str, dense: ModelInfo) -> str:
    """The fault of a prune setting of this model, or "" if none is known before it is applied."""
    try:
        check_layers(parse(setting), dense.layers, flowing(dense.name))
    except BadSetting as problem:
        pointer = problem.pointer.splitlines()[-1] if len(problem.text) <= FIELD_WIDTH else ""
        return f"{pointer}\n{problem.message} {problem.hint}".strip("\n")
    except BadInput as problem:
        return f"{problem.message} {problem.hint}"
    return ""
