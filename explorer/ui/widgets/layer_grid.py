"""The pruned model layer by layer: the measured sparsity of each sublayer and matrix, and the planned changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size

from explorer.state.prune_plan import Plan
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words import numbers
from explorer.words.token_text import fit
from probes.schema.explanation import Swap
from probes.schema.header import MatrixReport
from probes.schema.part import SUBLAYERS, Part

LABEL, COLUMN = 7, 6
Heals = Mapping[tuple[Part, str], Swap]
"""By sublayer, and by the name of a matrix of it; "" is the whole sublayer."""


class LayerGrid(LineWidget, can_focus=True):
    """A row a layer; a column for each sublayer, and one level down for each of its matrices."""

    def __init__(self) -> None:
        super().__init__(id="layers", classes="panel")
        self.present: Plan | None = None
        """The present setting's."""
        self.plan: Plan | None = None
        """With the changes that are not applied."""
        self.row = self.column = 0
        self.corner: tuple[int, int] | None = None
        """The other corner of a range, as row and column; None if a single cell is selected."""
        self._top = self._left = 0
        self._heals: Heals | None = None
        """The heal of each sublayer and of each of its matrices, in place of what is removed."""
        self._title = ""

    def show(self, present: Plan, plan: Plan, title: str = "layers", heals: Heals | None = None) -> None:
        if (present, plan, title, heals) != (self.present, self.plan, self._title, self._heals):
            self.present, self.plan, self._title, self._heals = present, plan, title, heals
            self.row = min(self.row, max(0, len(plan.layout.layers) - 1))
            self.redraw()

    @property
    def columns(self) -> list[str]:
        """The sublayers, then the matrices by their short names."""
        if self.plan is None:
            return []
        sublayers = [kind for kind in SUBLAYERS if any(m.sublayer == kind for m in self.plan.layout.matrices)]
        return [*sublayers, *dict.fromkeys(m.short for m in self.plan.layout.matrices if m.rows)]

    # The selection.

    def move(self, rows: int, columns: int) -> None:
        if self.plan is None:
            return
        self.row = max(0, min(self.row + rows, len(self.plan.layout.layers) - 1))
        self.column = max(0, min(self.column + columns, len(self.columns) - 1))
        self.redraw()

    def stretch(self) -> None:
        """Begins a range at the cursor, or ends it."""
        self.corner = None if self.corner is not None else (self.row, self.column)
        self.redraw()

    def whole_column(self) -> None:
        """Selects every layer of this column."""
        if self.plan is not None:
            self.corner, self.row = (0, self.column), len(self.plan.layout.layers) - 1
            self.redraw()

    def _corners(self) -> tuple[range, range]:
        row, column = self.corner or (self.row, self.column)
        return (
            range(min(row, self.row), max(row, self.row) + 1),
            range(min(column, self.column), max(column, self.column) + 1),
        )

    @property
    def names(self) -> list[str]:
        """The selected matrices."""
        return [matrix.name for matrix in self._selected()]

    @property
    def parts(self) -> set[Part]:
        """The selected sublayers, whole or in part."""
        return {matrix.part for matrix in self._selected()}

    def _selected(self) -> list[MatrixReport]:
        plan = self.plan
        if plan is None:
            return []
        rows, columns = self._corners()
        layers = {plan.layout.layers[row] for row in rows if row < len(plan.layout.layers)}
        chosen = {self.columns[column] for column in columns if column < len(self.columns)}
        return [m for m in plan.layout.matrices if m.layer in layers and (m.sublayer in chosen or m.short in chosen)]

    @property
    def selection(self) -> str:
        """The selection in words."""
        if self.plan is None or not self.columns:
            return ""
        rows, columns = self._corners()
        first, last = self.plan.layout.layers[rows.start], self.plan.layout.layers[rows.stop - 1]
        layers = f"layer {first}" if first == last else f"layers {first}–{last}"
        return f"{', '.join(self.columns[columns.start : columns.stop])} of {layers}"

    # Drawing.

    def draw(self, size: Size) -> Iterable[Pieces]:
        plan, palette = self.plan, self.palette
        if plan is None or self.present is None:
            return []
        height = size.height
        columns = self.columns
        self.column = max(0, min(self.column, len(columns) - 1))
        visible = max(1, height - 1)
        self._top = max(min(self._top, self.row), self.row - visible + 1)
        room = max(1, (size.width - LABEL) // COLUMN)
        self._left = max(min(self._left, self.column), self.column - room + 1)
        shown = columns[self._left : self._left + room]
        more = (
            "" if len(shown) == len(columns) else f"{self._left + 1}–{self._left + len(shown)} of {len(columns)} ← →  "
        )
        down = f"{self._top}–{min(len(plan.layout.layers), self._top + visible) - 1}"
        self.entitle(Text(self._title), Text(f"{more}{down}"))
        head = " layer " + "".join(f"{trimmed(name):>{COLUMN - 1}} " for name in shown)
        lines: list[Pieces] = [[(head, palette.muted)]]
        rows, chosen = self._corners()
        layers = plan.layout.layers
        for row in range(self._top, min(len(layers), self._top + visible)):
            layer = layers[row]
            line: Pieces = [(f"{layer:>{LABEL - 1}} ", palette.muted)]
            for place, column in enumerate(shown, self._left):
                here = row in rows and place in chosen
                line += self._cell(layer, column, here, row == self.row and place == self.column)
            lines.append(line)
        return lines

    def _cell(self, layer: int, column: str, chosen: bool, cursor: bool) -> Pieces:
        palette = self.palette
        text, style = self._content(layer, column)
        if cursor:
            style = palette.cursor
        elif chosen:
            style += palette.selected
        return [(fit(text, COLUMN - 1) if len(text) >= COLUMN else text.rjust(COLUMN - 1), style), (" ", None)]

    def _content(self, layer: int, column: str) -> tuple[str, Style]:
        """The text of a cell: a change that is planned, or else the measured sparsity."""
        plan, present, palette = self.plan, self.present, self.palette
        assert plan is not None
        assert present is not None
        matrices = [m for m in plan.layout.matrices if m.layer == layer and column in (m.sublayer, m.short)]
        if not matrices:
            return "", palette.faint
        part = matrices[0].part
        if _treatments(plan, part, matrices) != _treatments(present, part, matrices):
            return f"▸{_state(plan, part, matrices)}", palette.pruned + _BOLD
        if self._heals is not None:
            return self._heal(part, "" if column in SUBLAYERS else matrices[0].name.rpartition(".")[2])
        if part in present.dropped:
            return "drop", palette.pruned
        weights = sum(m.rows * m.columns for m in matrices)
        zeros = sum(m.zeros for m in matrices)
        sparsity = zeros / weights if weights else 0.0
        if not sparsity:
            return "·", palette.faint
        return f"{100 * sparsity:.0f} %", palette.ramp[
            min(len(palette.ramp) - 1, int(sparsity * len(palette.ramp)))
        ] + PLAIN

    def _heal(self, part: Part, matrix: str) -> tuple[str, Style]:
        """What healing a sublayer or a matrix takes away from the KL, with its level of the ramp."""
        swap = self._heals.get((part, matrix)) if self._heals is not None else None
        if swap is None:
            return "", self.palette.faint
        drop = swap.kl_drop
        digits = 1 if -1 < drop < 0 else 2
        text = numbers.significant(drop, digits) if abs(drop) >= 0.01 or drop != drop else "·"
        return text if swap.exact else f"≈{text}"[: COLUMN - 1], self.palette.of_kl(drop) + PLAIN

    # The mouse.

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self)
        if inside is None or self.plan is None or inside.y == 0 or inside.x < LABEL:
            return
        self.corner = (self.row, self.column) if event.shift else None
        self.row = min(self._top + inside.y - 1, len(self.plan.layout.layers) - 1)
        self.column = min(self._left + (inside.x - LABEL) // COLUMN, len(self.columns) - 1)
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(1, 0)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-1, 0)
        event.stop()


def _treatments(plan: Plan, part: Part, matrices: Iterable[MatrixReport]) -> object:
    """Every planned treatment of a cell of the grid."""
    return part in plan.dropped or (plan.treatments.get(part), [plan.treatments.get(m.name) for m in matrices])


def _state(plan: Plan, part: Part, matrices: Iterable[MatrixReport]) -> str:
    """The planned state of a cell, short enough for a column."""
    if part in plan.dropped:
        return "drop"
    if (treatment := plan.treatments.get(part)) is not None:
        return str(treatment.amount).lstrip("0")
    states = {str(found.amount).lstrip("0") if (found := plan.treatments.get(m.name)) else "0 %" for m in matrices}
    return states.pop() if len(states) == 1 else "mix"


def trimmed(name: str) -> str:
    """A matrix's name without the affixes that all of them have."""
    return name.removesuffix("_proj").removeprefix("self_")[: COLUMN - 1]


_BOLD = Style(bold=True)
PLAIN = Style(underline=False, bold=False)
