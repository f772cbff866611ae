"""The table of the verdict: a row a task, with both scores, their difference against the margin, and the spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text

from explorer.ui.widgets.interval_bar import DifferenceAxis, outcome_style
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.ui.widgets.row_list import RowList
from explorer.words import numbers
from explorer.words.token_text import fit, flowing
from explorer.words.verdict_figures import (
    loss,
    margin_text,
    outcome_text,
    p_value,
    signed_interval,
    signed_tenths,
    tenths,
    whole_interval,
)
from probes.schema.verdict import TaskVerdict, Verdict

_NARROW, _WIDE, _WIDEST = 79, 104, 130
"""From these widths on the table has the test and the agreement, then the intervals of the scores, then the spaces."""
_SCORING, _PAUSED = "· scoring", "· paused"
"""In place of an outcome: what some of the items say, the others may turn round."""


class VerdictTable(RowList, NamedFigures):
    """Shows the rows of a verdict."""

    FIGURE_NAMES: ClassVar[Names] = {
        **{
            "dense %": "task.score",
            "pruned %": "task.score",
            "difference": "task.difference",
            "test p": "task.mcnemar",
        },
        **{"agree": "task.agreement", "lost h": "task.h", "z": "task.z", "outcome": "task.outcome"},
    }

    def names_in(self, line: int) -> Names:
        return self.FIGURE_NAMES if 0 <= line < len(self.head(self.size.width)) else {}

    def __init__(self) -> None:
        super().__init__(id="verdict")
        self._verdict: Verdict | None = None
        self._scoring = False
        self._axis = DifferenceAxis(-0.1, 0.1)

    def show(self, verdict: Verdict | None, row: int, empty: str, *, scoring: bool) -> None:
        """`empty` is the sentence for when nothing has been scored. Is anything `scoring`, or has it been stopped?"""
        if (verdict, row, empty, scoring) == (self._verdict, self.row, self.why_empty, self._scoring):
            return
        self._verdict, self.row, self.why_empty, self._scoring = verdict, row, empty, scoring
        if verdict is not None and verdict.rows:
            self._axis = DifferenceAxis.around(verdict.rows, verdict.margin)
            self.entitle(
                Text("verdict by task"),
                Text(f"┊ margin −{margin_text(verdict.margin)} · {numbers.percent(verdict.level)} intervals"),
            )
        else:
            self.entitle(Text("verdict by task"), Text(""))
        self.redraw()

    @property
    def rows(self) -> Sequence[TaskVerdict]:
        return self._verdict.rows if self._verdict is not None else ()

    def head(self, width: int) -> Sequence[Pieces]:
        columns = _Columns(width)
        names = columns.line(
            "task",
            "items",
            "dense %",
            "pruned %",
            "difference",
            self._axis.head(columns.bar),
            "test p",
            "agree",
            ("lost h", "z", "p"),
            "outcome",
        )
        return [[(text, self.palette.muted) for text in names]]

    def line(self, place: int, width: int) -> Pieces:
        assert self._verdict is not None
        row, palette, columns = self.rows[place], self.palette, _Columns(width)
        wide = columns.wide
        if not row.items:
            return [
                (f" {fit(flowing(row.task), columns.widths[0])}{f'0/{row.of}':>{columns.widths[1] - 1}}", palette.muted)
            ]
        items = f"{row.items}" if row.items == row.of else f"{row.items}/{row.of}"
        spaces = row.spaces
        cells = columns.line(
            flowing(row.task),
            items,
            f"{tenths(row.dense.value)} {whole_interval(row.dense):>6}" if wide else tenths(row.dense.value),
            f"{tenths(row.pruned.value)} {whole_interval(row.pruned):>6}" if wide else tenths(row.pruned.value),
            f"{signed_tenths(row.difference.value)} {signed_interval(row.difference):>8}"
            if wide
            else signed_tenths(row.difference.value),
            "",
            p_value(row.mcnemar),
            numbers.whole_percent(row.agreement),
            (loss(spaces.h), loss(spaces.z), loss(spaces.p)) if spaces is not None else ("–", "–", "–"),
            outcome_text(row.outcome) if row.final else _SCORING if self._scoring else _PAUSED,
        )
        style = outcome_style(row.outcome, palette) if row.final else palette.muted
        styles = (palette.text, palette.muted, palette.dense, palette.pruned, palette.strong, None)
        pieces: Pieces = []
        for at, text in enumerate(cells):
            if at == _BAR:
                pieces += [*self._axis.bar(row, self._verdict.margin, columns.bar, palette), (" ", None)]
            elif at == len(cells) - 1:
                pieces.append((text, style))
            else:
                pieces.append((text, styles[at] if at < _BAR else palette.text))
        return pieces

    def copy_text(self) -> str:
        """The whole table, tab-separated."""
        if self._verdict is None:
            return ""
        names = (
            "task items of dense dense_low dense_high pruned pruned_low pruned_high difference difference_low "
            "difference_high p agreement h z p_space outcome"
        )
        lines = ["\t".join(names.split())]
        for row in self.rows:
            spaces = (row.spaces.h, row.spaces.z, row.spaces.p) if row.spaces is not None else (None, None, None)
            ends = [end for one in (row.dense, row.pruned, row.difference) for end in (one.value, one.low, one.high)]
            figures = [row.items, row.of, *ends, row.mcnemar, row.agreement, *spaces]
            written = ["" if figure is None else f"{figure:.6g}" for figure in figures]
            lines.append("\t".join([row.task, *written, row.outcome.value]))
        return "\n".join(lines)


_BAR = 5
"""The place of the interval bar among the cells of a line."""


class _Columns:
    """The width of each column. Figures have fixed widths; the task and the bar share the rest."""

    def __init__(self, width: int) -> None:
        self.wide = width >= _WIDE
        self.spaces = width >= _WIDEST
        score, difference = (14, 17) if self.wide else (7, 8)
        tests = 0 if width < _NARROW else 7
        self.widths = [12 if self.wide else 10, 8, score, score, difference, 0, tests, max(0, tests - 1)]
        fixed = 1 + sum(self.widths) + (21 if self.spaces else 0) + 17
        self.bar = max(7, min(44, width - fixed - 1))

    def line(
        self,
        task: str,
        items: str,
        dense: str,
        pruned: str,
        difference: str,
        bar: str,
        p: str,
        agree: str,
        spaces: tuple[str, str, str],
        outcome: str,
    ) -> list[str]:
        """The cells of a line, each padded to its column."""
        widths = self.widths
        cells = [f" {fit(task, widths[0])}"]
        cells += [f"{text:>{width - 1}} " for text, width in zip((items, dense, pruned), widths[1:4], strict=True)]
        cells.append(f"{difference:>{widths[4] - 2}}  ")
        cells.append(fit(bar, self.bar) + " ")
        cells += [f"{text:>{width - 1}} " if width else "" for text, width in ((p, widths[6]), (agree, widths[7]))]
        if self.spaces:
            cells += [f"{text:>6} " for text in spaces]
        cells.append(f" {outcome}")
        return cells
