"""The opening screen, shown until there is a run: the work in progress and how far it is."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from textual.geometry import Size

from explorer.state.view import Phase, View
from explorer.ui.splash import ABOUT, PROGRAM, STARTING
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.ui.widgets.status import work_text
from explorer.words.bound_keys import key_of
from explorer.words.token_text import flowing, wrapped

BAR = 44


class Opening(LineWidget):
    """The name, the work, a bar; or what went wrong and what to do."""

    DEFAULT_CSS = "Opening { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id="opening")
        self._view: View | None = None

    def show(self, view: View) -> None:
        self._view = view
        self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width, height = size
        lines = [_centred(line, width) for line in self._lines_of(min(72, width - 4))]
        return [[]] * max(0, (height - len(lines)) // 2) + lines

    def _lines_of(self, width: int) -> list[list[Piece]]:
        palette, view = self.palette, self._view
        lines: list[list[Piece]] = [
            [(PROGRAM, palette.strong)],
            [(ABOUT, palette.muted)],
            [],
        ]
        if view is None or view.phase is Phase.STARTING:
            return [*lines, [(STARTING, palette.text)]]
        if view.failure is not None:
            lines.append([(view.failure.title, palette.split)])
            lines += [[(part, palette.text)] for part in wrapped(flowing(view.failure.message), width)]
            lines += [[(part, palette.muted)] for part in wrapped(flowing(view.failure.hint), width)]
            where = "the recording" if view.returnable else view.under
            back = f"{key_of('back')} goes back to {where}" if where else f"{key_of('recordings')} opens a recording"
            ways = f"{key_of('retry')} tries again   {back}   {key_of('quit')} quits"
            return [*lines, [], [(self.with_keys(ways), palette.muted)]]
        work = view.work
        if work is None:
            return lines
        lines.append([(flowing(work.progress.task), palette.text)])
        if work.share is not None:
            full = round(work.share * BAR)
            lines.append([("━" * full, palette.dense), ("╌" * (BAR - full), palette.faint)])
        lines.append([(work_text(work, view.working_for) or "a moment, please", palette.muted)])
        if not view.live:
            lines.append([("keys that you press now act once it is there", palette.muted)])
        return [*lines, [], [(self.with_keys(f"{key_of('back')} cancels   {key_of('quit')} quits"), palette.muted)]]


def _centred(line: list[Piece], width: int) -> list[Piece]:
    size = sum(cell_len(text) for text, _ in line)
    return [(" " * max(0, (width - size) // 2), None), *line]
