"""Two similarity matrices as heat maps, and their difference: a row a query, a cell a document."""

from __future__ import annotations

from collections.abc import Iterable

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size

from explorer.state.heat import scrolled_top
from explorer.state.similarity_map import MapOf, SimilarityMap
from explorer.ui.widgets.heat_strips import BARS, FLAT
from explorer.ui.widgets.line_widget import LineWidget, Piece, Pieces, joined
from explorer.ui.widgets.row_list import RowPointed
from explorer.words.token_text import fit, flowing, wrapped

CHANGES = "▼▽··▵▵△▲"
"""From a similarity that fell most to one that rose most, so that the sign can be seen without colours."""
TOP_RIGHT, TOP_WRONG = "●", "○"


class SimilarityHeat(LineWidget, can_focus=True):
    """One of the three maps."""

    def __init__(self, of: MapOf) -> None:
        super().__init__(id=f"map-{of.name.lower()}", classes="panel map")
        self.of = of
        self._map: SimilarityMap | None = None
        self._row = 0
        self._top = 0
        self._empty = ""

    def show(self, found: SimilarityMap | None, row: int, empty: str) -> None:
        if (found, row, empty) == (self._map, self._row, self._empty):
            return
        self._map, self._row, self._empty = found, row, empty
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        found, palette = self._map, self.palette
        if found is None:
            self.entitle(Text(str(self.of)), Text(""))
            return [[(f" {line}", palette.muted)] for line in wrapped(self._empty, size.width - 2)]
        width = size.width - 1
        first = self._first_column(found, width)
        columns = found.order[first : first + width]
        self._frame(found, first, len(columns))
        self._top = scrolled_top(self._top, self._row, len(found.queries), size.height)
        return [
            self._line(found, row, columns)
            for row in range(self._top, min(len(found.queries), self._top + size.height))
        ]

    def _first_column(self, found: SimilarityMap, width: int) -> int:
        """The window of columns that shows the chosen query's document."""
        shown = found.right[self._row] if self._row < len(found.right) else None
        at = found.order.index(shown if shown is not None else found.top(MapOf.DENSE, self._row))
        return max(0, min(at - width // 2, len(found.order) - width))

    def _line(self, found: SimilarityMap, row: int, columns: Iterable[int]) -> Pieces:
        palette = self.palette
        chosen = row == self._row
        top = found.top(self.of, row)
        line: list[Piece] = [("▸" if chosen else " ", palette.strong)]
        for column in columns:
            value = found.value(self.of, row, column)
            character, style = self._cell(found, value)
            if column == top:
                right = column == found.right[row]
                character, style = TOP_RIGHT if right else TOP_WRONG, palette.strong if right else palette.odd
            line.append((character, style + palette.column if chosen else style))
        return joined(line)

    def _cell(self, found: SimilarityMap, value: float | None) -> tuple[str, Style]:
        if value is None:
            return "?", self.palette.odd
        level = found.level(self.of, value)
        style = self.palette.ramp[level] + FLAT
        return (CHANGES if self.of is MapOf.CHANGE else BARS)[level], style

    def _frame(self, found: SimilarityMap, first: int, count: int) -> None:
        low, high = found.bounds
        signs = BARS
        ends = f"{low:.2f}", f"{high:.2f}"
        if self.of is MapOf.CHANGE:
            signs, change = CHANGES, f"{found.largest_change:.2f}"
            ends = f"−{change}", f"+{change}"
        legend = Text(f"{ends[0]} ")
        for sign, style in zip(signs, self.palette.ramp, strict=True):
            legend.append(sign, style + FLAT)
        legend.append(f" {ends[1]}")
        window = f" · {first + 1}–{first + count} of {len(found.order)}" if count < len(found.order) else ""
        self.entitle(Text(f"{self.of}{window}"), legend)

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self)
        if inside is not None and self._map is not None and self._top + inside.y < len(self._map.queries):
            self.post_message(RowPointed(self._top + inside.y))


class QueryRankings(LineWidget, can_focus=True):
    """The chosen query: both models' rankings beside each other, and what moved."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="rankings", classes="panel")
        self._map: SimilarityMap | None = None
        self._row = 0
        self._text = ""
        self._note = ""

    def show(self, found: SimilarityMap | None, row: int, text: str, note: str) -> None:
        """`text` is the query's own text, "" if it is not known."""
        if (found, row, text, note) != (self._map, self._row, self._text, self._note):
            self._map, self._row, self._text, self._note = found, row, text, note
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        found, palette, width = self._map, self.palette, size.width
        if found is None or self._row >= len(found.queries):
            self.entitle(Text("query"), Text(""))
            return []
        self.entitle(Text(f"query {flowing(found.queries[self._row])}"), Text(self._note))
        lines: list[Pieces] = [[(f" {line}", palette.text)] for line in wrapped(flowing(self._text), width - 2)[:2]]
        half = max(20, (width - 2) // 2)
        lines.append([(f" {fit('dense ranking', half)}{fit('pruned ranking', half)}", palette.muted)])
        dense, pruned = (found.ranking(side, self._row) for side in (MapOf.DENSE, MapOf.PRUNED))
        for left, right in zip(dense, pruned, strict=True):
            line: Pieces = [(" ", None)]
            for one, style in ((left, palette.dense), (right, palette.pruned)):
                similarity = "undef." if one.similarity is None else f"{one.similarity:.3f}"
                moved = one.other - one.rank if one is right else 0
                mark = f" {'↑' if moved > 0 else '↓'}{abs(moved)}" if moved else ""
                name = f"{one.rank:>3} {'✓' if one.right else ' '} {flowing(one.document)}"
                words = f"{fit(name, half - 14)} {similarity}{mark}"
                line.append((fit(words, half), palette.strong if one.right else style))
            lines.append(line)
        return lines[: size.height]
