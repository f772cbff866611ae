"""The line above the keys of the screens about many items: how far scoring or a search is."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from textual.geometry import Size

from explorer.state.judge_requests import JudgeRequests
from explorer.state.timed_work import TimedWork
from explorer.state.view import View
from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.status import work_pieces, work_text
from explorer.words import numbers
from explorer.words.token_text import fit, flowing
from probes.schema.events import Failed, WorkProgressed
from probes.system.user_folders import shortened

_BAR = 16


class ScoringStatus(LineWidget):
    """One line."""

    DEFAULT_CSS = "ScoringStatus { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="status")
        self._pieces: Pieces = []

    def show(self, view: View, judging: JudgeRequests, *, searching: bool = False) -> None:
        """Shows how far the search is if `searching`, else how far scoring is."""
        pieces = _line(view, judging, self.palette, searching=searching)
        if pieces != self._pieces:
            self._pieces = pieces
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        room, line = size.width, []
        for text, style in self._pieces:
            if room > 0:
                line.append((text if cell_len(text) <= room else fit(text, room), style))
                room -= cell_len(text)
        return [line]


def _line(view: View, judging: JudgeRequests, palette: Palette, *, searching: bool) -> Pieces:
    if view.work is not None:
        return [(" ", None), *work_pieces(view, view.work, palette, _BAR)]
    answer = judging.search_answer if searching else judging.judge_answer
    busy = judging.searching if searching else judging.scoring
    if isinstance(answer, Failed):
        return [(f" {answer.title}: {answer.message} {answer.hint}".rstrip(), palette.odd)]
    if busy:
        stop = "  Esc stops" if searching else "  r stops"
        return [*_progress(judging, answer, palette, searching=searching), (stop, palette.muted)]
    verdict = judging.results.verdict
    if searching or verdict is None or not view.live:
        return []
    left = "" if verdict.final else f" {verdict.done} of {verdict.of} items are scored; r goes on."
    return [(f"{left}{kept_text(judging.results.kept_in)}", palette.muted)]


def kept_text(kept_in: str | None) -> str:
    """Where the results are, in a sentence; "" if nothing was measured."""
    if kept_in is None:
        return ""
    return f" Kept in {flowing(shortened(kept_in))}" if kept_in else " The results are in memory only."


def _progress(judging: JudgeRequests, answer: WorkProgressed | None, palette: Palette, *, searching: bool) -> Pieces:
    verdict = judging.results.verdict
    if answer is not None and (searching or verdict is None or not verdict.done):
        return [(f" {flowing(answer.task)}  {work_text(TimedWork(answer))}", palette.text)]
    if verdict is None or searching:
        return [(" Searching …" if searching else " Scoring items …", palette.text)]
    full = round(_BAR * verdict.done / verdict.of) if verdict.of else 0
    left = f", {numbers.duration(verdict.seconds_left)} left" if verdict.seconds_left is not None else ""
    return [
        (" Scoring items  ", palette.strong),
        ("━" * full, palette.dense),
        ("╌" * (_BAR - full), palette.faint),
        (f"  {verdict.done} of {verdict.of}{left}", palette.text),
    ]
