"""The list of a task's items: both models' answers, right or wrong, their margins, and the KL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rich.style import Style
from rich.text import Text

from explorer.state.item_list import ItemFilter, ItemLook, kl_of
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.ui.widgets.row_list import RowList
from explorer.words import numbers
from explorer.words.token_text import fit, flowing
from probes.schema.events import ItemScored
from probes.schema.task_results import Answered, ItemResult

RIGHT, WRONG = "✓", "✗"
_MARGINS, _KL = 16, 9


_WHY_EMPTY = {
    ItemFilter.ALL: "No item of this task is scored yet.",
    ItemFilter.CHANGED: "Both models give the same answer to every item.",
    ItemFilter.LOST: "No item is right in the dense model alone.",
    ItemFilter.GAINED: "No item is right in the pruned model alone.",
}


class ItemTable(RowList, NamedFigures):
    """A row an item."""

    FIGURE_NAMES: ClassVar[Names] = {"margin": "item.margin", "KL nat": "item.kl"}

    def names_in(self, line: int) -> Names:
        return self.FIGURE_NAMES if 0 <= line < len(self.head(self.size.width)) else {}

    def __init__(self) -> None:
        super().__init__(id="items")
        self._listed: Sequence[ItemScored] = ()
        self._look: tuple[str, ItemLook, int] | None = None
        self._wide = _MARGINS
        """The width of the column of margins: 0 of generated answers, which have none."""

    def show(self, task: str, items: Sequence[ItemScored], look: ItemLook, version: int) -> None:
        """`version` changes whenever an item was scored."""
        state = (task, look, version)
        if state == self._look:
            return
        held = self.chosen if self._look is not None and self._look[:2] == (task, look) else None
        self._look, self.why_empty = state, _WHY_EMPTY[look.shown]
        self._listed = look.listed(items)
        self._wide = _MARGINS if any(margins(one.result) != numbers.NONE for one in self._listed) else 0
        # While items arrive, rows move: the cursor stays at its item, though nobody has moved it there.
        kept = replace(look, item=held.result.item) if held is not None else look
        self.row = kept.row(self._listed)
        counts = {one: sum(one.holds(item.result) for item in items) for one in ItemFilter}
        title = Text()
        for place, (one, count) in enumerate(counts.items(), 1):
            here = one is look.shown
            title.append(f"{'▸' if here else ''}{place} {one} {count}", "bold" if here else "not bold")
            title.append("  " if place < len(counts) else "", "not bold")
        self.entitle(title, Text("by KL" if look.by_kl else "in the order scored"))
        self.redraw()

    @property
    def chosen(self) -> ItemScored | None:
        return self._listed[self.row] if self.row < len(self._listed) else None

    def at(self, row: int) -> ItemScored | None:
        """The item in a row, or in the nearest one that there is."""
        return self._listed[max(0, min(row, len(self._listed) - 1))] if self._listed else None

    @property
    def rows(self) -> Sequence[ItemScored]:
        return self._listed

    def head(self, width: int) -> Sequence[Pieces]:
        wide = self._wide
        name, answer = _widths(width, wide)
        text = f" {'item':<{name}}{fit('dense', answer)}{fit('pruned', answer)}"
        margin = f"{'margin':>{wide - 1}} " if wide else ""
        return [[(f"{text}{margin}{'KL nat':>{_KL - 1}}", self.palette.muted)]]

    def line(self, place: int, width: int) -> Pieces:
        result, palette = self._listed[place].result, self.palette
        wide = self._wide
        name, answer = _widths(width, wide)
        changed = palette.text if result.same else palette.strong
        kl = kl_of(result)
        written = numbers.significant(kl) if kl >= 0 else numbers.NONE
        return [
            (f" {fit(flowing(result.item), name - 1)} ", palette.muted),
            _answer(result.dense, answer, palette.dense),
            _answer(result.pruned, answer, palette.pruned if not result.same else changed),
            (f"{margins(result):>{wide - 1}} " if wide else "", palette.text),
            (f"{'':>{_KL - 1 - len(written)}}", palette.text),
            (written, palette.of_kl(kl)),
        ]


def _answer(answered: Answered, width: int, style: Style) -> tuple[str, Style]:
    mark = RIGHT if answered.right else WRONG
    return f"{mark} {fit(flowing(' '.join(answered.choice.split())) or 'no answer', width - 3)} ", style


def margins(result: ItemResult) -> str:
    """Both models' margins: +1.23 → +0.31."""
    dense, pruned = result.dense.margin, result.pruned.margin
    if dense is None or pruned is None:
        return numbers.NONE
    return f"{numbers.signed(dense)} → {numbers.signed(pruned)}"


def _widths(width: int, wide: int) -> tuple[int, int]:
    """The cells of an item's name, and of an answer, beside a column of margins that is so `wide`."""
    rest = width - 1 - wide - _KL
    name = max(8, min(20, rest // 3))
    return name, max(6, (rest - name) // 2)
