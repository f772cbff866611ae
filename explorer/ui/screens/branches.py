"""The branches of a run as a tree, and the other runs of a recording; choosing one shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textual import on
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from explorer.ui.commands import Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.marked_options import MarkedOptions
from explorer.words import numbers
from explorer.words.bound_keys import key_of
from explorer.words.token_text import fit, flowing
from probes.schema.branches import Branch, Branches

LABEL_WIDTH = 80
"""Cells for the tokens that were forced."""


@dataclass(frozen=True, slots=True)
class OtherRun:
    """Another run of the same recording."""

    place: int
    """Its place among the runs of the file, from 1."""
    about: str


class AskBranch(Dialog[Branch | OtherRun]):
    """Asks which branch, or which run, to show."""

    title_text = "Branches"
    COMMAND_TABLE = (
        Command({"up": "", "down": "", "enter": ""}, "↑ ↓ ⏎", "Switches to a branch or a run.", label="switches"),
        CANCEL,
    )

    def __init__(self, branches: Branches, runs: Sequence[OtherRun] = (), note: str = "") -> None:
        """`runs` are the other runs of the recording; `note` is a sentence above the list."""
        super().__init__()
        self._branches = branches
        self._runs = runs
        self._note = note
        self._choices: list[Branch | OtherRun] = []

    def body(self) -> Iterator[Widget]:
        if len(self._branches) == 1:
            more = f"{key_of('fork')} on a row of the next-token table opens another."
            yield Static(with_keys(self, f"There is one branch. {more}"), markup=False)
        if self._note:
            yield Static(with_keys(self, self._note), markup=False)
        order = list(tree_lines(self._branches))
        self._choices = [*(branch for branch, _ in order), *self._runs]
        lines = [*(line for _, line in order), *(f"run {run.place}  {run.about}" for run in self._runs)]
        options = MarkedOptions(*map(Option, lines), markup=False)
        options.highlighted = next(i for i, (b, _) in enumerate(order) if b.id == self._branches.current)
        yield options

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index])


def tree_lines(branches: Branches) -> Iterator[tuple[Branch, str]]:
    """The tree from its root: each branch with its line."""
    children: dict[int | None, list[Branch]] = {}
    for branch in branches:
        children.setdefault(branch.parent, []).append(branch)
    waiting = [(branch, "", "") for branch in children[None]]
    while waiting:
        branch, stem, indent = waiting.pop()
        yield branch, f"{stem}{line(branches, branch)}"
        last = len(waiting)
        for child in children.get(branch.id, ()):
            closes = child is children[branch.id][-1]
            stem, deeper = ("└─ ", "   ") if closes else ("├─ ", "│  ")
            waiting.insert(last, (child, f"{indent}{stem}", f"{indent}{deeper}"))


def line(branches: Branches, branch: Branch) -> str:
    """One branch in a line: its step, its forced tokens, its length and its ΣKL."""
    path = branches.path(branch.id)
    name = fit(flowing(branch.label), LABEL_WIDTH).rstrip() or "as the models chose"
    figures = f"ΣKL {numbers.significant(path[-1].sum.kl_shared)}" if path else "empty"
    here = " ◂ shown" if branch.id == branches.current else ""
    return f"{branch.id}  {name}, {len(path)} steps, {figures}{here}"
