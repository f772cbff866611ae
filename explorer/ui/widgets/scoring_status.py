"""The line above the keys of the screens about many items: how far scoring or a search is."""

from __future__ import annotations

from collections.abc import Iterable

from textual.geometry import Size

from explorer.state.judge_requests import JudgeRequests
from explorer.state.timed_work import TimedWork
from explorer.state.view import View
from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.status import work_pieces, work_text
from explorer.ui.widgets.status_line import StatusLine
from explorer.words import numbers
from explorer.words.bound_keys import key_of
from explorer.words.token_text import flowing, wrapped
from probes.schema.events import Failed, WorkProgressed
from probes.system.user_folders import shortened

_BAR = 16
_MOST_LINES = 3


class ScoringStatus(StatusLine):
    """Shows how far scoring or a search is. A sentence that is longer than the line, as with a file's path, wraps."""

    def show_pieces(self, pieces: Pieces) -> None:
        super().show_pieces(pieces)
        self.styles.height = max(1, min(_MOST_LINES, len(self._wrapped(self.app.size.width))))

    def draw(self, size: Size) -> Iterable[Pieces]:
        lines = self._wrapped(size.width)
        if len(lines) <= 1 or size.height < len(lines):
            return super().draw(size)
        return [[(f" {line}", self._pieces[0][1])] for line in lines]

    def _wrapped(self, width: int) -> list[str]:
        return wrapped(self._pieces[0][0], width - 2) if len(self._pieces) == 1 else []

    def show(self, view: View, judging: JudgeRequests, *, searching: bool = False, found: str = "") -> None:
        """Shows what is `found` in a list; else how far the search for passages is if `searching`, or scoring."""
        if found:
            self.show_pieces([(f" {found}", self.palette.muted)])
        else:
            self.show_pieces(_line(view, judging, self.palette, searching=searching))


def _line(view: View, judging: JudgeRequests, palette: Palette, *, searching: bool) -> Pieces:
    if view.work is not None:
        return [(" ", None), *work_pieces(view, view.work, palette, _BAR)]
    answer = judging.search_answer if searching else judging.judge_answer
    busy = judging.searching if searching else judging.scoring
    if isinstance(answer, Failed):
        return [(f" {answer.title}: {answer.message} {answer.hint}".rstrip(), palette.odd)]
    if busy:
        stop = f"  {key_of('leave' if searching else 'score')} stops"
        return [*_progress(judging, answer, palette, searching=searching), (stop, palette.muted)]
    verdict = judging.results.verdict
    if searching or verdict is None or not view.live:
        return []
    left = "" if verdict.final else f" {verdict.done} of {verdict.of} items are scored; {key_of('score')} goes on."
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
