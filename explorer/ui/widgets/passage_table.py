"""The list of passages at which two models differ, with their figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import ClassVar

from rich.text import Text

from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.ui.widgets.row_list import RowList
from explorer.words import numbers
from explorer.words.token_text import fit, flowing
from explorer.words.verdict_figures import ORDER_NAMES
from probes.schema.counting import number_of
from probes.schema.passages import Order, Passage, Passages

_ORDERED: dict[Order, int] = {"mean_kl": 0, "max_kl": 1, "first_split": 2, "dp": 4, "rank_change": 5}
"""The column of each order."""
_WIDE = 100


class PassageTable(RowList, NamedFigures):
    """A row a passage, the most different first."""

    FIGURE_NAMES: ClassVar[Names] = {
        **{"mean KL": "passage.mean_kl", "max KL": "passage.max_kl", "split": "passage.first_split"},
        **{"agree": "passage.agree_rate", "Δp": "passage.dp", "rank": "passage.rank_change"},
    }

    def names_in(self, line: int) -> Names:
        return self.FIGURE_NAMES if 0 <= line < len(self.head(self.size.width)) else {}

    def __init__(self) -> None:
        super().__init__(id="passages")
        self._found: Passages | None = None

    def show(self, found: Passages | None, row: int, empty: str) -> None:
        if (found, row, empty) == (self._found, self.row, self.why_empty):
            return
        self._found, self.row, self.why_empty = found, row, empty
        title = "where the models differ"
        if found is not None:
            title = f"where the models differ most, by {ORDER_NAMES[found.order]}"
            scored = f"{number_of(found.scored, 'passage')}, {found.tokens:,} tokens scored"
            self.entitle(Text(title), Text(scored))
        else:
            self.entitle(Text(title), Text(""))
        self.redraw()

    @property
    def rows(self) -> Sequence[Passage]:
        return self._found.rows if self._found is not None else ()

    def head(self, width: int) -> Sequence[Pieces]:
        names = ["mean KL", "max KL", "split", "agree", "Δp", "rank"]
        if self._found is not None:
            names[_ORDERED[self._found.order]] += "▾"
        source, text = _widths(width)
        figures = "".join(f"{name:>8} " for name in names)
        return [[(f" {fit('source', source)}{figures}{fit('text', text)}", self.palette.muted)]]

    def line(self, place: int, width: int) -> Pieces:
        row, palette = self.rows[place], self.palette
        source, text = _widths(width)
        mean, largest = numbers.significant(row.mean_kl), numbers.significant(row.max_kl)
        rest = (
            str(row.first_split or "none"),
            numbers.whole_percent(row.agree_rate),
            numbers.signed(row.dp),
            f"+{numbers.rank(row.rank_change)}" if row.rank_change > 0 else "0",
        )
        return [
            (f" {fit(source_of(row), source - 1)} ", palette.muted),
            (" " * max(0, 8 - len(mean)), None),
            (mean, palette.of_kl(row.mean_kl)),
            (" " * max(1, 9 - len(largest)), None),
            (largest, palette.of_kl(row.max_kl)),
            (" " + "".join(f"{figure:>8} " for figure in rest), palette.text),
            (fit(flowing(" ".join(row.text.split())), text), palette.strong if place == self.row else palette.text),
        ]

    def copy_text(self) -> str:
        """The whole table, tab-separated."""
        head = "source place steps mean_kl max_kl max_kl_at first_split agree_rate dp rank_change text"
        lines = ["\t".join(head.split())]
        for row in self.rows:
            figures = (row.mean_kl, row.max_kl, row.max_kl_at, row.first_split, row.agree_rate, row.dp, row.rank_change)
            written = ["" if figure is None else f"{figure:.6g}" for figure in figures]
            text = flowing(" ".join(row.text.split()))
            lines.append("\t".join([flowing(row.source), str(row.place), str(row.steps), *written, text]))
        return "\n".join(lines)


def source_of(row: Passage) -> str:
    """The item's id, or the file's name with the line or the character in it."""
    if row.item:
        return flowing(row.item)
    return f"{flowing(PurePath(row.source).name or row.source)}:{row.place}"


def _widths(width: int) -> tuple[int, int]:
    """The cells of the source, and of the text."""
    source = 18 if width >= _WIDE else 12
    return source, max(0, width - 1 - source - 6 * 9)
