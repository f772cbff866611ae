"""Recordings side by side: their figures with the differences, and their texts token under token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text as FrameText
from textual import events
from textual.geometry import Size

from explorer.recordings.comparison import ComparisonRow, RunComparison, points
from explorer.ui.messages import StepPointed
from explorer.ui.theme import Palette
from explorer.ui.widgets.braille import DASHED, DOTTED, LONG, SOLID, Dash
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.named_figures import NamedFigures, Names
from explorer.words.summary_figures import Written
from explorer.words.token_text import fit, flowing

ENTRIES = 4
"""The most recordings whose lines can be distinguished in one chart."""
SIGNS = "━┅┈╍"
"""How each entry's line looks, in words."""
DASHES: tuple[Dash, ...] = (SOLID, DASHED, DOTTED, LONG)
ROOMY_COLUMN = 10
"""A column of at least this many cells shows a difference with all its digits."""
ROLES = ("dense", "pruned", "text", "muted")
"""The palette's style of each entry's line."""


def style_of(palette: Palette, entry: int) -> Style:
    found: Style = getattr(palette, ROLES[entry % ENTRIES])
    return found


class ComparedFigures(NamedFigures, LineWidget, can_focus=True):
    """One row a figure: the first recording's value, every other's with its difference to it."""

    ALLOW_SELECT = True

    def names_in(self, line: int) -> Names:
        """Of the row in that line, its own; a row has its label at the left."""
        rows = self._compared.rows[self._top :] if self._compared is not None else ()
        return {rows[line - 1].figure.label: rows[line - 1].figure.key} if 0 < line <= len(rows) else {}

    @property
    def figure_keys(self) -> Sequence[str]:
        return [row.figure.key for row in self._compared.rows] if self._compared is not None else []

    def __init__(self) -> None:
        super().__init__(id="figures", classes="panel")
        self._compared: RunComparison | None = None
        self._top = 0

    def show(self, compared: RunComparison) -> None:
        self._compared = compared
        self.entitle(FrameText(f"over the first {compared.span}"), FrameText("Δ: less the first"))
        self.redraw()

    def move(self, rows: int) -> None:
        lines = len(self._compared.rows) + 1 if self._compared else 0
        self._top = max(0, min(self._top + rows, lines - 2))
        self.redraw()

    def copy_text(self) -> str:
        """The whole table, tab-separated."""
        if self._compared is None:
            return ""
        lines = ["\t".join(("figure", "unit", *(entry.label for entry in self._compared.entries)))]
        for row in self._compared.rows:
            name = f"{row.figure.label} *" if self._compared.marked(row) else row.figure.label
            lines.append("\t".join((name, row.figure.unit, *map(_plain, row.values))))
        if self._compared.both != self._compared.shared:
            lines.append(f"* over {self._compared.both} steps")
        return "\n".join(lines)

    def draw(self, size: Size) -> Iterable[Pieces]:
        compared, palette = self._compared, self.palette
        if compared is None:
            return []
        width, height = size
        count = len(compared.entries)
        columns = 2 * count - 1
        label = max(14, min(26, width // 3, width - 2 - 8 * columns))
        value = max(8, (width - label - 2) // columns)
        # A name ends at the right edge of its values. A long first name extends over the labels, every other one over
        # its differences, which end below Δ.
        names = [f" {name}" for name in narrowed([flowing(entry.label) for entry in compared.entries], 2 * value - 6)]
        head: Pieces = []
        for place, name in enumerate(names):
            named = f"{SIGNS[place % ENTRIES]}{name}"
            room = label + 1 + value if place == 0 else max(value, cell_len(named) + 1)
            head.append((" " * (room - cell_len(named)) + named, style_of(palette, place)))
            if place:
                head.append(("Δ".rjust(2 * value - room), palette.muted))
        rows = compared.rows[self._top : self._top + max(1, height - 1)]
        return [head, *(self._row(row, label, value, compared.marked(row)) for row in rows)]

    def _row(self, row: ComparisonRow, label: int, value: int, marked: bool) -> Pieces:
        palette = self.palette
        figure = row.figure
        write: Callable[[float], str] = figure.text
        if figure.written is Written.SHARE:
            write = points if value >= ROOMY_COLUMN else closely
        name = f"{figure.label}, {figure.unit}" if figure.unit not in ("", "step") else figure.label
        pieces: Pieces = [("*" if marked else " ", palette.strong), (fit(name, label), palette.muted)]
        for place, (number, less) in enumerate(zip(row.values, row.differences, strict=True)):
            pieces.append((figure.text(number).rjust(value), palette.strong if place == 0 else palette.text))
            if place:
                pieces.append((difference(less, write).rjust(value), palette.muted))
        return pieces


def narrowed(labels: Sequence[str], width: int) -> list[str]:
    """Labels in at most so many cells: those that would be the same without their ends keep these instead."""
    cut = [fit(label, width).rstrip() for label in labels]
    return [
        one if one == label or cut.count(one) == 1 else _ending(label, width)
        for one, label in zip(cut, labels, strict=True)
    ]


def _ending(label: str, width: int) -> str:
    """The end of a label: its last part, if that fits."""
    part = f" {label.rpartition(' · ')[2]}"
    end = part if cell_len(part) < width else label
    while cell_len(end) > width - 1:
        end = end[1:]
    return f"…{end}"


def difference(less: float | None, write: Callable[[float], str]) -> str:
    """A difference with its sign; empty if there is none."""
    if less is None or less != less:
        return ""
    if less == 0:
        return "="
    shown = write(abs(less)).removeprefix("×")
    return f"{'+' if less > 0 else '−'}{shown}"


def closely(value: float) -> str:
    """`points` for a narrow column."""
    return points(value, 2).replace(" ", "")


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


class ComparedTexts(LineWidget, can_focus=True):
    """One model's text in every recording, the tokens of a step below each other. Differences are marked."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="compared-texts", classes="panel")
        self._compared: RunComparison | None = None
        self.side = 1
        """0 the dense model's text, 1 the pruned one's."""
        self._cursor = 0
        self._groups: list[list[int]] = []
        """The steps of each line."""
        self._top = 0

    def show(self, compared: RunComparison, cursor: int, side: int) -> None:
        self._compared, self._cursor, self.side = compared, cursor, side
        text = compared.texts[side]
        diverges = f"diverges at step {text.diverges_at}" if text.diverges_at else "the same throughout"
        self.entitle(FrameText(f"{text.side} text, token under token"), FrameText(diverges))
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        compared = self._compared
        if compared is None:
            return []
        width, height = size
        tokens = compared.texts[self.side].tokens
        count = len(compared.entries)
        self._groups = lines_of([widest(row) for row in tokens], width - 3)
        here = next((place for place, steps in enumerate(self._groups) if self._cursor in steps), 0)
        fitting = max(1, height // (count + 1))
        self._top = max(0, min(here - fitting // 2, len(self._groups) - fitting))
        lines: list[Pieces] = []
        for steps in self._groups[self._top : self._top + fitting + 1]:
            lines += [self._line(tokens, steps, entry) for entry in range(count)]
            lines.append([])
        return lines

    def _line(self, tokens: Sequence[Sequence[str | None]], steps: Sequence[int], entry: int) -> Pieces:
        palette = self.palette
        pieces: Pieces = [(f"{SIGNS[entry % ENTRIES]}  ", style_of(palette, entry))]
        for step in steps:
            row = tokens[step - 1]
            token = row[entry]
            differs = entry > 0 and token != row[0]
            style = palette.cursor if step == self._cursor else palette.pruned + MARKED if differs else palette.text
            pieces.append((fit("" if token is None else flowing(token), widest(row)), style))
        return pieces

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self) if self.text_selection is None else None
        compared = self._compared
        if inside is None or compared is None:
            return
        group = self._top + inside.y // (len(compared.entries) + 1)
        used = 3
        for step in self._groups[group] if group < len(self._groups) else ():
            used += widest(compared.texts[self.side].tokens[step - 1])
            if inside.x < used:
                self.post_message(StepPointed(step))
                return


MARKED = Style(underline=True)


def widest(row: Sequence[str | None]) -> int:
    """The cells a step needs so that every entry's token fits."""
    return max(1, *(cell_len(flowing(token)) if token else 0 for token in row))


def lines_of(widths: Sequence[int], width: int) -> list[list[int]]:
    """Steps in lines, as many as fit in each."""
    lines: list[list[int]] = [[]]
    used = 0
    for step, size in enumerate(widths, start=1):
        if used + size > width and lines[-1]:
            lines.append([])
            used = 0
        lines[-1].append(step)
        used += size
    return lines
