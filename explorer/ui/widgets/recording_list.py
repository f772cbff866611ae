"""The list of recordings, one in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import events
from textual.geometry import Size
from textual.message import Message

from explorer.recordings.library import ListedRun
from explorer.recordings.shipped import COMES_WITH, is_shipped
from explorer.sources.chosen import Chosen
from explorer.ui.messages import RecordingChosen
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words import numbers
from explorer.words.token_text import fit, fit_middle, flowing

_DATE, _CONTEXT, _STEPS, _KL, _SURVIVAL, _SPLIT = 17, 7, 7, 8, 9, 7


class RunPointed(Message):
    """The mouse has chosen a run."""


class RecordingList(LineWidget, can_focus=True):
    """One is chosen, any number can be marked for a comparison."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="recordings", classes="panel")
        self._found: Sequence[ListedRun] | None = None
        self.row = 0
        self._top = 0
        self.marked: list[Chosen] = []
        """In the order they were marked: the first is the reference of a comparison."""

    def show(self, found: Sequence[ListedRun] | None) -> None:
        """Shows these runs; None means that the search is still running."""
        self._found = found
        self.row = max(0, min(self.row, len(found or ()) - 1))
        self.redraw()

    @property
    def chosen(self) -> ListedRun | None:
        return self._found[self.row] if self._found and self.row < len(self._found) else None

    def move(self, rows: int) -> None:
        if self._found:
            self.row = max(0, min(len(self._found) - 1, self.row + rows))
            self.redraw()

    def mark(self) -> None:
        """Marks the chosen one, or takes its mark away."""
        if self.chosen is None or self.chosen.problem or self.chosen.other:
            return
        run = self.chosen.chosen
        if run in self.marked:
            self.marked.remove(run)
        else:
            self.marked.append(run)
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        width, height = size
        if self._found is None:
            return [[(" Looking for recordings …", self.palette.muted)]]
        if not self._found:
            return [[(" No recording here. Every run is recorded as it happens.", self.palette.muted)]]
        columns = _Columns(width)
        visible = max(1, height - 1)
        self._top = max(min(self._top, self.row), self.row - visible + 1)
        lines: list[Pieces] = [[(columns.head(), self.palette.muted)]]
        shown = enumerate(self._found[self._top : self._top + visible], start=self._top)
        return [*lines, *(self._line(columns, one, place == self.row) for place, one in shown)]

    def _line(self, columns: _Columns, one: ListedRun, chosen: bool) -> Pieces:
        palette = self.palette
        mark = str(self.marked.index(one.chosen) + 1) if one.chosen in self.marked else " "
        text = palette.strong if chosen else palette.text
        when = COMES_WITH if is_shipped(one.path) else f"{one.when:%Y-%m-%d %H:%M}"
        pieces: Pieces = [
            (f"{'▸' if chosen else ' '}{mark} ", palette.split),
            (fit(when, _DATE), palette.muted),
        ]
        if one.problem:
            pieces.append((fit(f"{one.path.name}: {one.problem}", columns.width - _DATE - 3), palette.odd))
        elif one.other:
            pieces += [
                (columns.cell(flowing(one.models), columns.models), palette.dense),
                (fit(f"{one.other}: {one.path.name}", columns.width - _DATE - columns.models - 3), text),
            ]
        else:
            pieces += [
                (columns.cell(flowing(one.models), columns.models), palette.dense),
                (
                    columns.cell(fit_middle(flowing(one.header.title), columns.setting - 1), columns.setting),
                    palette.pruned,
                ),
                (fit(one.header.settings.follow.value, _CONTEXT), palette.muted),
                (f"{one.steps:>{_STEPS - 1}} ", text),
                (f"{numbers.significant(one.kl):>{_KL - 1}} ", text),
                (f"{numbers.chance(one.survival):>{_SURVIVAL - 1}} ", text),
                (f"{one.first_split or 'none':>{_SPLIT - 2}}  ", text),
                (columns.cell(one.prompt_line(), columns.prompt), palette.muted),
            ]
        if not chosen:
            return pieces
        return [(words, style + palette.selected if style else palette.selected) for words, style in pieces]

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self) if self.text_selection is None else None
        if inside is None or not self._found or inside.y == 0 or self._top + inside.y > len(self._found):
            return
        self.row = self._top + inside.y - 1
        self.redraw()
        self.post_message(RunPointed())
        if event.chain == 2 and self.chosen is not None:
            self.post_message(RecordingChosen(self.chosen.chosen))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(1)
        self.post_message(RunPointed())
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-1)
        self.post_message(RunPointed())
        event.stop()


class _Columns:
    """How wide each column is: figures are fixed, names and prompt share the rest."""

    def __init__(self, width: int) -> None:
        self.width = width
        rest = max(12, width - 3 - _DATE - _CONTEXT - _STEPS - _KL - _SURVIVAL - _SPLIT)
        self.setting = min(26, max(12, rest * 4 // 10))
        self.models = min(24, max(0, rest - self.setting)) if rest >= 24 else 0
        self.prompt = max(0, rest - self.setting - self.models)

    @staticmethod
    def cell(text: str, width: int) -> str:
        """The text with a space after it, in so many cells."""
        return fit(text, width - 1) + " " if width > 1 else ""

    def head(self) -> str:
        names = f"   {'recorded':<{_DATE}}{self.cell('models', self.models)}{self.cell('setting', self.setting)}"
        names += f"{'context':<{_CONTEXT}}{'steps':>{_STEPS - 1}} {'ΣKL':>{_KL - 1}} {'survival':>{_SURVIVAL - 1}} "
        return names + f"{'split':>{_SPLIT - 2}}  {fit('prompt', self.prompt)}"
