"""What the items say about the chosen task: the sentence, who lost what, and its further figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.geometry import Size

from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.words import numbers
from explorer.words.token_text import fit, flowing, wrapped
from explorer.words.verdict_figures import further_difference, p_value
from explorer.words.verdicts import further_value, row_sentence
from probes.schema.verdict import FurtherFigure, TaskVerdict, Verdict

_VALUE = 13


class TaskSheet(NamedFigures, LineWidget, can_focus=True):
    """Shows one row of the verdict in words and further figures."""

    ALLOW_SELECT = True

    FIGURE_NAMES: ClassVar[Names] = {
        **{"same answers": "task.agreement", "McNemar p": "task.mcnemar", "difference": "task.difference"},
        **{"dense": "task.score", "pruned": "task.score"},
    }

    def __init__(self) -> None:
        super().__init__(id="of-task", classes="panel")
        self._shown: tuple[TaskVerdict, float, float] | None = None
        self._top = 0

    def show(self, verdict: Verdict | None, row: int) -> None:
        shown = None
        if verdict is not None and row < len(verdict.rows):
            shown = verdict.rows[row], verdict.margin, verdict.level
        if shown != self._shown:
            self._shown = shown
            self._top = 0
            self.redraw()

    def scroll_rows(self, rows: int) -> None:
        self._top = max(0, self._top + rows)
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        width, height = size
        if self._shown is None:
            self.entitle(Text("the task"), Text(""))
            return []
        row, margin, level = self._shown
        palette = self.palette
        title = Text(f"{flowing(row.task)} · {row.kind.value}, {row.figure}")
        self.entitle(title, Text(""))
        said = wrapped(row_sentence(row, margin, level), width - 2)
        if len(said) > height:
            said[height - 1 :] = [fit(" ".join(said[height - 1 :]), width - 2)]
        lines: list[Pieces] = [[(f" {line}", palette.text)] for line in said]
        if row.items:
            lines += [[(f" {line}", palette.muted)] for line in wrapped(counts_sentence(row), width - 2)]
        figures = [self._figure(one, width) for one in row.more]
        room = height - len(lines) - 1
        if figures and room > 0:
            head = f" {'':<{self._label(width)}}{'dense':>{_VALUE}}{'pruned':>{_VALUE}}{'difference':>{_VALUE + 2}}"
            lines.append([(head, palette.muted)])
            top = max(0, min(self._top, len(figures) - room))
            shown = figures[top : top + room]
            if len(figures) > room:
                self.entitle(
                    Text(f"{flowing(row.task)} · {row.kind.value}, {row.figure}"), Text(f"{len(figures) - room} more")
                )
            lines += shown
        return lines

    @staticmethod
    def _label(width: int) -> int:
        return max(12, min(34, width - 3 * _VALUE - 16))

    def _figure(self, one: FurtherFigure, width: int) -> Pieces:
        palette = self.palette
        pieces: Pieces = [
            (f" {fit(flowing(one.name), self._label(width))}", palette.muted),
            (f"{further_value(one, one.dense):>{_VALUE}}", palette.text if one.of_both else palette.dense),
        ]
        if not one.of_both:
            pieces.append((f"{further_value(one, one.pruned):>{_VALUE}}", palette.pruned))
            if one.difference is not None:
                pieces.append((f"  {further_difference(one, one.difference)}", palette.text))
        return pieces


def counts_sentence(row: TaskVerdict) -> str:
    """How many answers were lost and gained, and what guessing would score."""
    parts = [
        f"same answers {numbers.whole_percent(row.agreement)} of {row.items}",
        f"{row.lost} lost, {row.gained} gained",
        f"McNemar p {p_value(row.mcnemar)}" if row.mcnemar is not None else "",
        f"guessing scores {numbers.percent(row.chance)}" if row.chance else "",
    ]
    return " · ".join(part for part in parts if part)
