"""Chooses a prompt from a file: its place is typed, and its prompts are listed."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from explorer.state.typed_history import TypedHistory
from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.history_field import HistoryInput, remember
from explorer.ui.widgets.marked_options import MarkedOptions
from explorer.words.token_text import fit
from probes.models.prompt_file import STANDARD_INPUT, read_prompt_file
from probes.schema.conversation import SYSTEM, Conversation
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.system.user_folders import expanded

MOST_LISTED = 1000
"""Prompts in the list; a number after # chooses any other."""
_WIDTH = 66
"""Cells of a line in the list."""
_SHAPES = "One prompt a line, JSON Lines, or JSON: texts, or lists of messages. ⏎ reads the file."


class ChoosePrompt(Dialog[Conversation]):
    """Gives a conversation from a file."""

    title_text = "A prompt from a file"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Reads the file; takes the prompt.", label="reads it, takes the prompt"),
        Command({"tab": "", "down": "list"}, "↓", "Goes to the prompts.", label="the prompts"),
        CANCEL,
    )

    def __init__(self) -> None:
        super().__init__()
        self._prompts: tuple[Conversation, ...] = ()

    def body(self) -> Iterator[Widget]:
        latest = next(iter(TypedHistory().entries("file")), "")
        yield HistoryInput("file", latest, placeholder="prompts.jsonl", id="path")
        yield Static(_SHAPES, id="verdict", classes="hint", markup=False)
        yield MarkedOptions(id="prompts", markup=False)

    def on_mount(self) -> None:
        if self.query_one("#path", Input).value:
            self._read(quietly=True)

    @on(Input.Submitted)
    def submit(self) -> None:
        if self._read():
            path = expanded(self.query_one("#path", Input).value.strip())
            remember(self.app, ("file", str(path.absolute())))
            self.action_list()

    @on(OptionList.OptionSelected)
    def take(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._prompts[event.option_index])

    def action_list(self) -> None:
        if self._prompts:
            self.query_one(OptionList).focus()

    def _read(self, *, quietly: bool = False) -> bool:
        """Lists the prompts of the file that is named. False, with a sentence, if it can't be read; `quietly` leaves
        the sentence out."""
        listed, verdict = self.query_one(OptionList), self.query_one("#verdict", Static)
        path = self.query_one("#path", Input).value.strip()
        try:
            if path in ("", STANDARD_INPUT):
                raise BadInput("File", "Name a file with prompts.")
            file = read_prompt_file(path)
        except BadInput as problem:
            if not quietly:
                self._prompts = ()
                listed.clear_options()
                verdict.update(f"{problem.message} {problem.hint}".strip())
                verdict.add_class("fault")
            return False
        verdict.remove_class("fault")
        count = len(file.prompts)
        more = f"; the first {MOST_LISTED:,} are listed, and FILE#N names any other" if count > MOST_LISTED else ""
        verdict.update(f"{count:,} prompt{'s' * (count != 1)}{more}.")
        self._prompts = (file.named,) if file.number else file.prompts[:MOST_LISTED]
        listed.clear_options()
        listed.add_options(Option(prompt_line(place, one)) for place, one in enumerate(self._prompts, file.number or 1))
        listed.highlighted = 0
        return True


def prompt_line(place: int, asked: Conversation) -> str:
    """A prompt in one line: its number, what is before it, and its beginning."""
    before = [turn for turn in asked.turns if turn.role != SYSTEM]
    parts = ["system"] if len(before) < len(asked.turns) else []
    parts += [f"{len(before)} turn{'s' * (len(before) != 1)}"] if before else []
    parts += ["answer begun"] if asked.begun else []
    about = f"[{', '.join(parts)}] " if parts else ""
    return fit(f"{place:>4}  {about}{visible(' '.join(asked.prompt[:400].split()), 120)}", _WIDTH).rstrip()
