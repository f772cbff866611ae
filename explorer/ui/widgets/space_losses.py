"""How much is lost in each space, by task: 1 − cosine of h, z and p as bars with their figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.geometry import Size

from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.ui.widgets.next_tokens import bar
from explorer.words import numbers
from explorer.words.token_text import fit, flowing, wrapped
from explorer.words.verdict_figures import loss
from probes.schema.verdict import SpaceLoss, TaskVerdict, Verdict

SPACE_NAMES = ("embedding h", "logit z", "probability p", "options p")
_TASK, _LABEL, _FIGURE, _KL = 12, 15, 7, 9
_NOT_MEASURED = "not measured yet"


class SpaceLosses(NamedFigures, LineWidget, can_focus=True):
    """A line a task and a column a space, or a line a space if there is room. All bars share one scale."""

    ALLOW_SELECT = True

    FIGURE_NAMES: ClassVar[Names] = {
        **{"embedding h": "task.h", "logit z": "task.z", "probability p": "task.p", "options p": "task.options"},
        **{"KL": "task.kl"},
    }

    def __init__(self) -> None:
        super().__init__(id="losses", classes="panel")
        self._verdict: Verdict | None = None
        self._row = 0

    def show(self, verdict: Verdict | None, row: int) -> None:
        if (verdict, row) == (self._verdict, self._row):
            return
        self._verdict, self._row = verdict, row
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        width, height = size
        palette = self.palette
        rows = self._verdict.rows if self._verdict is not None else ()
        full = _scale(rows)
        self.entitle(
            Text("lost in each space ↓" if width < 90 else "lost in each space, by task: 1 − cosine ↓"),
            Text(f"a full bar is {numbers.plain(full)}") if rows else Text(""),
        )
        if not rows:
            sentence = "The means of 1 − cosine of h, z and p, over the positions that decide the items."
            return [[(f" {line}", palette.muted)] for line in wrapped(sentence, width - 2)]
        spaces = 4 if any(row.spaces is not None and row.spaces.options_p is not None for row in rows) else 3
        blocks = [self._block(row, spaces, width, full, chosen=at == self._row) for at, row in enumerate(rows)]
        if sum(len(block) + 1 for block in blocks) <= height + 1:
            return [line for block in blocks for line in (*block, [])]
        return self._table(rows, spaces, width, height, full)

    def _block(self, row: TaskVerdict, spaces: int, width: int, full: float, *, chosen: bool) -> list[Pieces]:
        """A task with its bars under each other."""
        palette = self.palette
        name = fit(f"{'▸' if chosen else ' '}{flowing(row.task)}", _TASK + 1)
        named = (name, palette.strong if chosen else palette.text)
        if row.spaces is None:
            return [[named, (_NOT_MEASURED, palette.muted)]]
        lines: list[Pieces] = []
        length = width - _TASK - _LABEL - _FIGURE - _KL - 2
        for at, (value, style) in enumerate(zip(_values(row.spaces, spaces), self._styles, strict=False)):
            if value is None:
                continue
            lines.append(
                [
                    named if not lines else (" " * (_TASK + 1), None),
                    (fit(SPACE_NAMES[at], _LABEL), palette.muted),
                    (fit(f"{loss(value)} ", _FIGURE), palette.text),
                    (bar(min(1.0, value / full), length), style),
                    (f"KL {numbers.significant(row.spaces.kl)}".rjust(_KL) if at == 2 else "", palette.muted),
                ]
            )
        return lines

    def _table(self, rows: Sequence[TaskVerdict], spaces: int, width: int, height: int, full: float) -> list[Pieces]:
        """A line a task, a column a space."""
        palette = self.palette
        room = (width - 1 - _TASK - _KL) // spaces
        names = "".join(fit(name, room) for name in SPACE_NAMES[:spaces])
        head = f" {'task':<{_TASK}}{names}{'KL nat':>{_KL - 1}}"
        lines: list[Pieces] = [[(head, palette.muted)]]
        fitting = max(1, height - 1)
        spaced = 2 * len(rows) <= fitting + 1
        top = max(0, min(self._row - fitting // 2, len(rows) - fitting)) if not spaced else 0
        for place, row in enumerate(rows[top : top + fitting], top):
            lines.append(self._line(row, spaces, room, full, chosen=place == self._row))
            if spaced:
                lines.append([])
        return lines

    def _line(self, row: TaskVerdict, spaces: int, room: int, full: float, *, chosen: bool) -> Pieces:
        palette = self.palette
        named = fit(f"{'▸' if chosen else ' '}{flowing(row.task)}", _TASK + 1)
        pieces: Pieces = [(named, palette.strong if chosen else palette.text)]
        if row.spaces is None:
            return [*pieces, (_NOT_MEASURED, palette.muted)]
        length = max(3, room - _FIGURE - 1)
        for value, style in zip(_values(row.spaces, spaces), self._styles, strict=False):
            drawn = bar(min(1.0, value / full), length) if value is not None else ""
            pieces.append((fit(f"{loss(value)} ", _FIGURE), palette.text if value is not None else palette.muted))
            pieces.append((fit(drawn, room - _FIGURE), style))
        pieces.append((f"{numbers.significant(row.spaces.kl):>{_KL - 1}}", palette.muted))
        return pieces

    @property
    def _styles(self) -> tuple[Style, ...]:
        palette = self.palette
        return palette.dense, palette.shared, palette.pruned, palette.text


def _values(lost: SpaceLoss, spaces: int) -> tuple[float | None, ...]:
    return (lost.h, lost.z, lost.p, lost.options_p)[:spaces]


def _scale(rows: Iterable[TaskVerdict]) -> float:
    """The loss of a full bar: a round number that no loss exceeds."""
    found = [row.spaces for row in rows if row.spaces is not None]
    largest = max((value for one in found for value in (one.h, one.z, one.p, one.options_p or 0.0)), default=0.0)
    return next((step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if largest <= step), 2.0)
