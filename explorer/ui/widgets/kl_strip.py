"""The strip of KL by step at the bottom: one bar a step, with the split and the cursor marked below."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.geometry import Size

from explorer.state.axis import Axis
from explorer.state.columns import Column
from explorer.state.view import View
from explorer.ui.messages import StepPointed
from explorer.ui.widgets.braille import Log, bars, cell_bounds
from explorer.ui.widgets.line_widget import LineWidget, Piece, joined
from explorer.words.figures import Scope
from explorer.words.marks import EXPLAINED_SIGN, STEP_MARK

BOUNDS = Log(0.005, 5.0)
"""Fixed, so that a bar's height means the same in every run."""


class KlStrip(LineWidget, can_focus=True):
    """One bar a cell: the largest KL of its steps, on the shared context."""

    DEFAULT_CSS = "KlStrip { height: 2; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._column = Column()
        self._steps = self._cursor = 0
        self._split: int | None = None
        self._diverged = False
        self._span: tuple[int, int] | None = None
        self._marked: list[int] = []
        self._explained: list[int] = []
        self._look: object = None

    def show(self, view: View) -> None:
        column = view.columns.get("p.kl", Scope.SHARED)
        self._column, self._steps, self._cursor, self._split = column, len(column), view.cursor, view.split
        self._diverged, self._span, self._marked = view.diverged, view.span, view.marked
        self._explained = [step for step in view.explained_at if step <= self._steps]
        look = self._looks(self.inside.width - 2)
        if look != self._look:
            self._look = look
            self.redraw()

    def _looks(self, width: int) -> object:
        """Everything a drawing depends on except the size. One step more among thousands mostly changes nothing."""
        axis = self.axis
        bounds = cell_bounds(self._column, axis, width).copy() if width > 0 else []
        places = (self._cursor, self._split, *(self._span or ()), None, *self._marked, None, *self._explained)
        cells = [axis.cell(step, width) if step else -1 for step in places]
        return self._column, axis, bounds, len(self._column.odd), cells, self._diverged, self._steps > 0

    @property
    def axis(self) -> Axis:
        return Axis.of(self._steps)

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width, height = size
        if width < 4:
            return []
        inner = width - 2
        row: list[Piece] = [(" ", None)]
        largest = cell_bounds(self._column, self.axis, inner)
        for (character, series), found in zip(bars(self._column, self.axis, BOUNDS, inner), largest, strict=True):
            if series < 0:
                row.append((" ", None))
            elif character in "∞?":
                row.append((character, self.palette.odd))
            else:
                row.append((character, self.palette.of_kl(found and found[1])))
        return [joined(row), joined(self._marks(inner))][:height]

    def _marks(self, width: int) -> list[Piece]:
        marks: list[Piece] = [(" ", self.palette.muted)] * width
        name = "shared KL by step" if self._diverged else "KL by step"
        cursor = self.axis.cell(self._cursor, width) if self._cursor else -1
        split = self.axis.cell(self._split, width) if self._split else -1
        span = [self.axis.cell(step, width) for step in self._span or () if step <= self._steps]
        flags = [self.axis.cell(step, width) for step in self._marked]
        signs = {self.axis.cell(step, width) for step in self._explained} - {cursor}
        more = f" · {EXPLAINED_SIGN} explained" if signs else ""
        hint = f"{name} · ┆ first split · ▲ cursor{more}" if self._steps else name
        taken = {x for x in (cursor, split, *span, *flags, *signs) if x >= 0}
        for text in (hint, name):
            free = [x for x in (width - len(text), 0) if not any(x - 2 < mark < x + len(text) + 1 for mark in taken)]
            if free and free[0] >= 0:
                for offset, character in enumerate(text):
                    marks[free[0] + offset] = (character, self.palette.muted)
                break
        for at in flags:
            marks[at] = (STEP_MARK, self.palette.split)
        for at, mark in zip(span, "[]", strict=False):
            marks[at] = (mark, self.palette.strong)
        if split >= 0:
            marks[split] = ("┆", self.palette.split)
        for at in signs:  # the split is often explained, and the texts show it too
            marks[at] = (EXPLAINED_SIGN, self.palette.split if at == split else self.palette.dense)
        if cursor >= 0:
            marks[cursor] = ("▲", self.palette.strong)
        return [(" ", None), *marks]

    # The mouse.

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._point(event.x)
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self:
            self._point(event.x)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def _point(self, x: int) -> None:
        if self._steps and x >= 1:
            self.post_message(StepPointed(self.axis.step(x - 1, self.size.width - 2)))
