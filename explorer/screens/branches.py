"""The branches of a run as a tree; choosing one makes it the current one again."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from explorer import numbers
from explorer.display import fit, flowing
from explorer.screens.dialog import Dialog
from probes.branches import Branch, Branches

LABEL = 80
"""Cells of what was forced."""


class AskBranch(Dialog[int]):
    """Gives the id of the branch to go on with."""

    title_text = "Branches"
    foot = "↑ ↓ ⏎ switches · Esc leaves it"

    def __init__(self, branches: Branches) -> None:
        super().__init__()
        self._branches = branches

    def body(self) -> Iterator[Widget]:
        if len(self._branches) == 1:
            yield Static("There is one branch. Enter on a row of the next-token table opens another.", markup=False)
        order = list(walk(self._branches))
        options = OptionList(*(Option(line, id=str(branch.id)) for branch, line in order), markup=False)
        options.highlighted = next(i for i, (b, _) in enumerate(order) if b.id == self._branches.current)
        yield options

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(int(event.option_id or 0))


def walk(branches: Branches) -> Iterator[tuple[Branch, str]]:
    """The tree from its root: each branch with the line that shows it."""
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
    """One branch in a line: where it leaves, what was forced, how far it is."""
    path = branches.path(branch.id)
    name = fit(flowing(branch.label), LABEL).rstrip() or "as the models chose"
    figures = f"ΣKL {numbers.significant(path[-1].sum.kl_local)}" if path else "empty"
    here = " ◂ shown" if branch.id == branches.current else ""
    return f"{branch.id}  {name}, {len(path)} steps, {figures}{here}"
