"""What one cell of a sweep gave, in words and figures; of a failed one, why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.geometry import Size

from explorer.state.sweep_grid import CellState, GridCell, SweepGrid
from explorer.ui.widgets.interval_bar import DifferenceAxis, outcome_style
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.ui.widgets.task_sheet import counts_sentence
from explorer.words import numbers
from explorer.words.summary_figures import summary_figures
from explorer.words.sweeps import removed_sentence, work_sentence
from explorer.words.token_text import fit, flowing, wrapped
from explorer.words.verdict_figures import loss, outcome_text, signed_interval, signed_tenths, tenths, whole_interval
from explorer.words.verdicts import row_sentence
from probes.schema.summary import Summary
from probes.schema.verdict import TaskVerdict

_RUN = summary_figures("kl_shared.mean", "kl_shared.max", "survival", "half_life", "agree_rate", "first_split")
_LEAST_BAR, _MOST_BAR = 12, 48
"""Characters of the interval bar."""


class CellSheet(NamedFigures, LineWidget, can_focus=True):
    """Shows the cell under the cursor."""

    ALLOW_SELECT = True

    FIGURE_NAMES: ClassVar[Names] = {
        **{
            "difference": "task.difference",
            "dense": "task.score",
            "pruned": "task.score",
            "same answers": "task.agreement",
        },
        **{"McNemar p": "task.mcnemar", "h": "task.h", "z": "task.z", "p": "task.p", "KL": "task.kl"},
        **{figure.label: figure.key for figure in _RUN},
    }

    def __init__(self) -> None:
        super().__init__(id="cell", classes="panel")
        self._shown: tuple[SweepGrid, GridCell, str] | None = None

    def show(self, grid: SweepGrid | None, cell: GridCell | None, note: str) -> None:
        """`note` says what ⏎ does."""
        shown = (grid, cell, note) if grid is not None and cell is not None else None
        if shown != self._shown:
            self._shown = shown
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        if self._shown is None:
            self.entitle(Text("the cell"), Text(""))
            return []
        grid, cell, note = self._shown
        self.entitle(Text(f"{flowing(cell.setting)} × {flowing(cell.task)}"), Text(note))
        lines = [*self._result(grid, cell, size.width), *self._rest(cell, size.width)]
        return lines[: size.height]

    def _result(self, grid: SweepGrid, cell: GridCell, width: int) -> list[Pieces]:
        header, palette = grid.read.sweep.header, self.palette
        if len(cell.seeds) > 1:
            return self._seeds(cell, width)
        if cell.state is CellState.DONE and cell.rows:
            [row] = cell.rows
            lines = self._said(row_sentence(row, header.margin, header.level), width, palette.text)
            return [*lines, *self._row(row, header.margin, width)]
        if cell.state is CellState.DONE and cell.runs:
            return self._run(cell.runs[0], width)
        if cell.state is CellState.FAILED:
            error = next(one.result.error for one in cell.seeds if one.result is not None and one.result.error)
            said = self._said(f"{error.title}: {error.message}", width, palette.odd)
            return [*said, *self._said(error.hint, width, palette.text)]
        running = cell.state is CellState.RUNNING
        return self._said("It is being computed now." if running else "Not computed yet.", width, palette.text)

    @staticmethod
    def _said(sentence: str, width: int, style: Style) -> list[Pieces]:
        return [[(f" {line}", style)] for line in wrapped(flowing(sentence), width - 2)]

    def _row(self, row: TaskVerdict, margin: float, width: int) -> list[Pieces]:
        palette = self.palette
        scores: Pieces = [
            (" dense ", palette.muted),
            (f"{tenths(row.dense.value)} ({whole_interval(row.dense)})", palette.dense),
            ("  pruned ", palette.muted),
            (f"{tenths(row.pruned.value)} ({whole_interval(row.pruned)})", palette.pruned),
        ]
        lines: list[Pieces] = [self._bar(row, margin, width), scores]
        if row.spaces is not None:
            of = row.spaces
            spaces = f" lost: h {loss(of.h)}  z {loss(of.z)}  p {loss(of.p)}   KL {numbers.significant(of.kl)} nat"
            lines.append([(spaces, palette.text)])
        return [*lines, *self._said(counts_sentence(row), width, palette.muted)]

    def _bar(self, row: TaskVerdict, margin: float, width: int) -> Pieces:
        """The difference and its interval, on an axis with zero and the margin."""
        said = f" {signed_tenths(row.difference.value)} ({signed_interval(row.difference)})"
        axis = DifferenceAxis.around([row], margin)
        low, high = f"{100 * axis.low:.0f}".replace("-", "−"), f"+{100 * axis.high:.0f}"
        room = max(_LEAST_BAR, min(_MOST_BAR, width - len(said) - len(low) - len(high) - 16))
        muted = self.palette.muted
        strong = self.palette.strong
        return [
            (" difference", muted),
            (f"{said}  ", strong),
            (f"{low} ", muted),
            *axis.bar(row, margin, room, self.palette),
            (f" {high}", muted),
        ]

    def _run(self, run: Summary, width: int) -> list[Pieces]:
        """The figures of a prompt's run, two beside each other."""
        palette, half = self.palette, max(24, (width - 2) // 2)
        texts = [f"{figure.label}  {figure.text_with_unit(figure.of(run))}" for figure in _RUN]
        pairs = zip(texts[::2], texts[1::2], strict=True)
        lines: list[Pieces] = [[(f" {run.steps} steps of one prompt", palette.muted)]]
        lines += [[(f" {fit(left, half)}{right}", palette.text)] for left, right in pairs]
        return lines

    def _seeds(self, cell: GridCell, width: int) -> list[Pieces]:
        """A line for each seed."""
        palette = self.palette
        lines: list[Pieces] = []
        for one in cell.seeds:
            name = f" seed {'–' if one.cell.seed is None else one.cell.seed}  "
            result = one.result
            if result is not None and result.row is not None:
                row = result.row
                said = f"{signed_tenths(row.difference.value):>6} ({signed_interval(row.difference)})  "
                end = (outcome_text(row.outcome), outcome_style(row.outcome, palette))
            elif result is not None and result.run is not None:
                figures = (f"{one.short} {one.text_with_unit(one.of(result.run))}" for one in _RUN[:1] + _RUN[2:3])
                said, end = "  ".join(figures), ("", palette.text)
            elif result is not None and result.error is not None:
                said, end = "", (fit(f"{result.error.title}: {result.error.message}", max(8, width - 14)), palette.odd)
            else:
                said, end = "", (one.state.value, palette.muted)
            lines.append([(name, palette.muted), (said, palette.text), end])
        return lines

    def _rest(self, cell: GridCell, width: int) -> list[Pieces]:
        """What was removed, and what it took."""
        results = [one.result for one in cell.seeds if one.result is not None]
        if not results:
            return []
        result = results[-1]
        said = [removed_sentence(result.removed) if result.removed is not None else "", work_sentence(result)]
        return [line for one in (*said, *result.notes) for line in self._said(one, width, self.palette.muted)]
