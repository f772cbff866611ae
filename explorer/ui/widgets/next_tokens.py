"""The next-token table: the most likely tokens of both models at the cursor, one in a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.geometry import Size

from explorer.state.view import View
from explorer.ui.messages import TokenChosen
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.words import numbers
from explorer.words.sentences import scored_token
from explorer.words.token_text import fit, fit_quoted, wrapped
from explorer.words.watched import MARK, compared_at, watched_at, watched_line
from probes.schema.record import StepRecord, TopToken, Watched
from probes.schema.summary import log_ratio

PARTS = " ▏▎▍▌▋▊▉█"
"""A bar's end, in eighths of a cell."""


class NextTokens(NamedFigures, LineWidget, can_focus=True):
    """The union of both models' top tokens with bars, ranks, log ratio and share of the KL; one row is chosen."""

    ALLOW_SELECT = True

    FIGURE_NAMES: ClassVar[Names] = {
        **{"dense p": "top.p", "pruned q": "top.q", "rank": "top.rank", "log p/q": "top.log_ratio"},
        **{"of KL": "top.kl_share"},
    }

    def names_in(self, line: int) -> Names:
        return self.FIGURE_NAMES if line == 0 and self._rows else {}

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel")
        self._rows: tuple[TopToken, ...] = ()
        self._record: StepRecord | None = None
        self._state: tuple[object, ...] = ()
        self._step = -1
        self._top = 0
        self.row = 0
        """The chosen row."""
        self._own = False
        self._watched: Watched | None = None
        """The watched groups, on the context of the table."""

    def show(self, view: View) -> None:
        record = view.record
        state = (view.run, view.generation, view.cursor, view.own_contexts, record is None, view.phase)
        if state == self._state:
            return
        if state[:3] != self._state[:3]:
            self.row = self._top = 0
        self._state, self._record, self._own = state, record, view.own_contexts
        self._rows = table_rows(record, self._own)
        self._watched = watched_at(record, self._own)
        self.entitle(
            table_title(record, self._own, scored=view.scores),
            "● dense's choice  ○ pruned's" if self._rows else "",
        )
        self.redraw()

    @property
    def chosen(self) -> TopToken | None:
        return self._rows[self.row] if self.row < len(self._rows) else None

    @property
    def rows(self) -> tuple[TopToken, ...]:
        """All rows."""
        return self._rows

    @property
    def watched(self) -> Watched | None:
        """The watched groups of this step, with the ids of their tokens."""
        return self._watched

    def move(self, table_rows: int) -> None:
        if self._rows:
            self.row = max(0, min(len(self._rows) - 1, self.row + table_rows))
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width, height = size
        if not self._rows:
            sentence = wrapped(why_empty(self._record), width - 2)
            return [[(f" {line}", self.palette.muted)] for line in sentence]
        columns = TableWidths(width)
        lines: list[list[Piece]] = [columns.head(self.palette.muted)]
        groups = self._watched.groups if self._watched else ()
        visible = max(1, height - 1 - bool(groups))
        self._top = max(min(self._top, self.row), self.row - visible + 1)
        for place, row in enumerate(self._rows[self._top : self._top + visible], start=self._top):
            lines.append(self._line(columns, row, place == self.row))
        if groups and height > 2:
            lines += [[]] * (height - 1 - len(lines))
            lines.append([(f" {watched_line(groups, width - 2)}", self.palette.strong)])
        return lines

    def _line(self, columns: TableWidths, row: TopToken, chosen: bool) -> list[Piece]:
        palette, record = self.palette, self._record
        pieces: list[Piece] = [
            ("▸" if chosen else " ", palette.strong),
            (choices(record, row, self._own), palette.text),
            *self._token(row, columns.token, palette.strong if chosen else palette.text),
            (f" {row.p:.3f} ", palette.text),
            (bar(row.p, columns.bar), palette.dense),
            (f" {row.q:.3f} ", palette.text),
            (bar(row.q, columns.bar), palette.pruned),
            (ranks(row.rank_dense, row.rank_pruned), palette.muted),
        ]
        if columns.wide:
            ratio = numbers.signed(log_ratio(row.p, row.q))
            pieces.append((f"{ratio:>8}", palette.muted))
        pieces.append((f"{numbers.whole_percent(row.kl_share):>8}", palette.text))
        used = sum(len(text) for text, _ in pieces)
        pieces.append((" " * max(0, columns.width - used), None))
        return [(text, (style or Style()) + palette.selected) for text, style in pieces] if chosen else pieces

    def _token(self, row: TopToken, width: int, style: Style) -> list[Piece]:
        """The token in quotation marks; in a run that watches tokens with a mark after it if it is one of them."""
        if self._watched is None:
            return [(fit_quoted(row.token, width), style)]
        seen = any(row.token_id in group.tokens for group in self._watched.groups)
        return [(fit_quoted(row.token, width - 1), style), (MARK if seen else " ", self.palette.strong)]

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self) if self.text_selection is None else None
        if inside is None or not self._rows:
            return
        row = self._top + inside.y - 1
        if not 0 <= row < len(self._rows) or inside.y == 0 or (self._watched and inside.y == self.size.height - 1):
            return
        self.row = row
        self.redraw()
        if event.chain == 2:
            self.confirm()

    def confirm(self) -> None:
        if self.chosen is not None and self._record is not None:
            self.post_message(TokenChosen(self.chosen.token_id, self.chosen.token, self._record))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(1)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-1)
        event.stop()


class TableWidths:
    """The width of each column. Figures have fixed widths; the token and the bars share the rest."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.wide = width >= 72
        fixed = 3 + 7 + 7 + 13 + (8 if self.wide else 0) + 8 + 1  # a free cell before the frame
        rest = max(12, width - fixed)
        self.token = max(8, min(18, rest * 2 // 5))
        self.bar = max(2, min(40, (rest - self.token) // 2))

    def head(self, style: Style) -> list[Piece]:
        names = [
            "   " + fit("token", self.token),
            fit(" dense p", 7 + self.bar),
            fit(" pruned q", 7 + self.bar),
            f"{'rank':^13}",
        ]
        if self.wide:
            names.append(f"{'log p/q':>8}")
        names.append(f"{'of KL':>8}")
        return [("".join(names), style)]


def bar(share: float, width: int) -> str:
    """A share of 1 as a bar in eighths of a cell; a visible sliver for anything above a tenth of a percent."""
    if share != share:
        return "?" + " " * (width - 1)
    eighths = round(share * width * 8)
    if share > 0.001:
        eighths = max(1, eighths)
    full, part = divmod(min(eighths, width * 8), 8)
    return ("█" * full + (PARTS[part] if part else "")).ljust(width)


def table_rows(record: StepRecord | None, own_contexts: bool) -> tuple[TopToken, ...]:
    """The table of a step: on the shared context if there is one, unless `own_contexts` is set."""
    found = compared_at(record, own_contexts)
    return found.top if found else ()


def table_title(record: StepRecord | None, own_contexts: bool, *, scored: bool = False) -> str:
    """The table's step and text. If a text is scored: its token with both probabilities."""
    if record is None:
        return "next token"
    name = f"next token at step {record.step}"
    if scored and (about := scored_token(record)):
        return f"{name} · the text has {about}"
    if record.same_context or (record.own is None and record.shared is None):
        return name
    if own_contexts or record.shared is None:
        return f"{name} · each on its own text"
    return f"{name} · both on the dense text"


def why_empty(record: StepRecord | None) -> str:
    """The reason why there is no table."""
    if record is None:
        return "The next-token table appears with the first step."
    if record.invalid is not None:
        return f"The {record.invalid.model} model computed NaN or infinity here, first in {record.invalid.layer}."
    if record.missing:
        return "This step can't be read in the recording."
    if record.dense is None and record.pruned is None:
        return "Both models have ended."
    if record.dense is None or record.pruned is None:
        ended = "dense" if record.dense is None else "pruned"
        return f"The {ended} model has ended: there is nothing to compare."
    return "This step has no table."


def ranks(dense: float, pruned: float) -> str:
    """Both ranks in 13 cells around an arrow. The arrow moves if one rank is above 9 999."""
    first, second = numbers.rank(dense), numbers.rank(pruned)
    return f"{first:>{max(1, min(5, 10 - len(second)))}} → {second}".ljust(13)


def choices(record: StepRecord | None, row: TopToken, own_contexts: bool) -> str:
    """● if the dense model chose this token, ○ if the pruned one did on the table's context."""
    if record is None:
        return "  "
    known = record.same_context or own_contexts or record.shared is None
    dense = record.dense is not None and record.dense.token_id == row.token_id
    pruned = known and record.pruned is not None and record.pruned.token_id == row.token_id
    return ("●" if dense else " ") + ("○" if pruned else " ")
