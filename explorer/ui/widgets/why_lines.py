"""The single lines of the screen that explains a token: its headline, its tabs and its status."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.geometry import Size
from textual.message import Message

from explorer.state.explain_requests import ExplainRequests
from explorer.state.timed_work import TimedWork
from explorer.state.view import View
from explorer.state.why_pages import WhyLook, WhyPage, headline
from explorer.ui.widgets.line_widget import LineWidget, Piece, Pieces
from explorer.ui.widgets.status import work_pieces, work_text
from explorer.ui.widgets.status_line import StatusLine
from explorer.ui.widgets.why_shown import computing
from explorer.words.bound_keys import key_of
from explorer.words.token_text import fit, flowing, wrapped
from probes.schema.events import WorkProgressed


class PagePointed(Message):
    """A tab was clicked."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place


class WhyHeadline(LineWidget):
    """The sentence that a person came for: the culprit, as far as it is known."""

    ALLOW_SELECT = True

    DEFAULT_CSS = "WhyHeadline { height: 2; }"

    def __init__(self) -> None:
        super().__init__(id="headline")
        self._sentence = ("", False)

    def show(self, look: WhyLook, *, computing: bool) -> None:
        """`computing`: are the heals on their way?"""
        found = headline(look, computing=computing)
        if found != self._sentence:
            self._sentence = found
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        sentence, known = self._sentence
        lines = wrapped(sentence, size.width - 2)
        if len(lines) > size.height:
            lines[size.height - 1 :] = [fit(" ".join(lines[size.height - 1 :]), size.width - 2)]
        style = self.palette.strong if known else self.palette.muted
        return [[(f" {line}", style)] for line in lines]


class WhyTabs(LineWidget):
    """The pages with their keys; the open one is highlighted."""

    DEFAULT_CSS = "WhyTabs { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self._page = WhyPage.HEAL

    def show(self, page: WhyPage) -> None:
        if page is not self._page:
            self._page = page
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        line: list[Piece] = []
        for place, page in enumerate(WhyPage, 1):
            here = page is self._page
            gap = " " if size.width < 66 else "  "
            line.append((f"▸{place} {page.value}" if here else f" {place} ", self.palette.strong))
            line.append(("" if here else page.value, self.palette.muted))
            line.append((gap, None))
        return [line]

    def on_click(self, event: events.Click) -> None:
        used, gap = 0, 1 if self.size.width < 66 else 2
        for place, page in enumerate(WhyPage, 1):
            used += 3 + len(page.value) + gap
            if event.x < used:
                self.post_message(PagePointed(place))
                return


class WhyStatus(StatusLine):
    """The work in progress, or how to go on."""

    def show(self, view: View, explaining: ExplainRequests) -> None:
        self.show_pieces(self._line(view, explaining))

    def _line(self, view: View, explaining: ExplainRequests) -> Pieces:
        palette = self.palette
        if view.work is not None:
            return [(" ", None), *work_pieces(view, view.work, palette, 16)]
        searching = explaining.searching
        answer = explaining.repair_answer
        progress = explaining.progress
        if searching and isinstance(answer, WorkProgressed):
            progress = answer
        if progress is not None:
            line = f" {flowing(progress.task)}  {work_text(TimedWork(progress))}"
            way = f"  {key_of('leave')} cancels the search" if searching else ""
            return [(line, palette.text), (way, palette.muted)]
        if searching:
            return [(f" Searching for what to give back …  {key_of('leave')} cancels", palette.text)]
        if (thing := explaining.computed) is not None:
            return [(f" {computing(thing)} …", palette.muted)]
        if not view.live:
            more = f" {key_of('models')} loads the models." if view.revivable else ""
            return [(f" A recording: only what was recorded is shown.{more}", palette.muted)]
        begin, end = key_of("mark-left-square-bracket"), key_of("mark-right-square-bracket")
        if view.span is None:
            return [(f" {begin} and {end} mark a span of steps to explain together.", palette.muted)]
        first, last = view.span
        ways = f"{begin} at step {first} or {end} at step {last} unmarks."
        return [(f" Steps {first} to {last} are marked. {ways}", palette.muted)]
