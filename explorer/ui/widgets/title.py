"""The first line: the two models, the settings of the run, and the step at the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from rich.cells import cell_len
from textual.geometry import Size

from explorer.state.view import Phase, View
from explorer.ui.widgets.line_widget import LineWidget, Piece, Pieces
from explorer.words.token_text import fit, fit_middle, flowing
from probes.schema.counting import number_of
from probes.schema.events import Why
from probes.schema.header import RunHeader
from probes.schema.settings import RunSettings

LEAST_SUMMARY = 14
"""The fewest cells in which a part of the summary of the pruning is shown."""
LEAST_SETTING = 24
"""The fewest cells to which the setting is shortened, so that the other parts have room."""
GAP = 2
"""Cells between two parts."""


class Title(LineWidget):
    """One line. On a narrow terminal the least important parts are left out."""

    DEFAULT_CSS = "Title { height: 1; dock: top; }"

    def __init__(self) -> None:
        super().__init__(id="title")
        self._state: tuple[object, ...] = ()
        self._view: View | None = None
        self._named: tuple[tuple[object, ...], list[TitlePart]] = ((), [])
        """What is said of the models, and all that it depends on."""

    def show(self, view: View) -> None:
        speed = f"{view.speed:.1f}" if view.speed else ""
        state = (
            view.header,
            view.phase,
            view.cursor,
            view.newest,
            view.following,
            speed,
            view.pause,
            view.branches.current,
        )
        if state != self._state:
            self._state, self._view = state, view
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        view = self._view
        if view is None or view.header is None:
            return [[(" phier", self.palette.strong)]]
        about = view.header, view.live, len(view.branches), view.branches.current, self.palette
        if self._named[0] != about:
            self._named = about, self._models(view, view.header)
        return [laid_out(self._named[1], self._place(view, view.header), size.width)]

    def _models(self, view: View, header: RunHeader) -> list[TitlePart]:
        """The two models, what was removed, and how they are run."""
        palette = self.palette
        names: Pieces = [
            (flowing(header.dense.name), palette.dense),
            (" ⇄ ", palette.muted),
            (flowing(header.title), palette.pruned),
        ]
        parts = [TitlePart(10, [("phier", palette.strong)]), TitlePart(100, names, shortest=LEAST_SETTING)]
        if warnings := len(header.every_warning):
            parts.append(TitlePart(95, [(f"! {number_of(warnings, 'warning')}", palette.strong)]))
        elif notes := len(header.every_note):
            parts.append(TitlePart(30, [(number_of(notes, "note"), palette.muted)]))
        if header.prune is not None:
            parts.append(TitlePart(60, [(header.prune.summary, palette.muted)], least=LEAST_SUMMARY))
        sampling = header.settings.sampling
        sampled = "" if sampling.greedy else f" T {sampling.temperature:g} seed {sampling.seed}"
        whole, brief = how(header.settings), f"{header.settings.follow}{sampled}"
        parts.append(TitlePart(70, [(brief, palette.text)], instead=[(whole, palette.text)]))
        if not view.live:
            parts.append(TitlePart(75, [("recording", palette.muted)]))
        if len(view.branches) > 1:
            parts.append(TitlePart(60, [(f"branch {view.branches.current}", palette.muted)]))
        return parts

    def _place(self, view: View, header: RunHeader) -> list[TitlePart]:
        """The step at the cursor and the state of the run."""
        palette = self.palette
        limit = last_step(view, header)
        parts = [TitlePart(90, [(f"step {view.cursor}/{limit}", palette.strong)])]
        if view.newest and view.following:
            parts.append(TitlePart(40, [("following", palette.muted)]))
        elif view.newest:
            parts.append(TitlePart(85, [(f"{view.behind} behind", palette.pruned)]))
        parts.append(TitlePart(80, [(_state(view), palette.strong)]))
        return parts


@dataclass(frozen=True, slots=True)
class TitlePart:
    """Some words of the line."""

    weight: int
    """If there is no room, the lightest parts are left out."""
    pieces: Pieces
    least: int = 0
    """The fewest cells it may be cut to; 0 is never cut."""
    shortest: int = 0
    """The fewest cells to which its last words are shortened in their middle; 0 never."""
    instead: Pieces = field(default_factory=list)
    """Longer words for the same, if there is room once everything else is in the line."""

    @property
    def size(self) -> int:
        return _size(self.pieces)


def laid_out(left: list[TitlePart], right: list[TitlePart], width: int) -> Pieces:
    """The parts with two cells between them, the left ones to the left, as many as fit by weight."""
    kept: dict[int, Pieces] = {}
    room = width - 1
    everything = [_shortened(part, (*left, *right), room) for part in (*left, *right)]
    for place, part in sorted(enumerate(everything), key=lambda one: -one[1].weight):
        size = part.size
        if size + GAP <= room or not kept:
            kept[place] = part.pieces
            room -= size + GAP
        elif part.least and part.least + GAP <= room:
            (text, style), *_ = part.pieces
            kept[place] = [(fit(text, room - GAP), style)]
            room = 0
    for place, part in enumerate(everything):
        if part.instead and place in kept and (more := _size(part.instead) - part.size) <= room:
            kept[place] = part.instead
            room -= more
    line: Pieces = [(" ", None)]
    for place, pieces in sorted(kept.items()):
        if place == len(left):
            line.append((" " * max(0, room), None))
            room = 0
        line += [*pieces, (" " * GAP, None)]
    return line


def _shortened(part: TitlePart, everything: Sequence[TitlePart], room: int) -> TitlePart:
    """The part with its last words cut in their middle, as far as the other parts need the room."""
    if not part.shortest:
        return part
    *first, (text, style) = part.pieces
    others = sum((one.least or one.size) + GAP for one in everything if one is not part)
    size = max(part.shortest, room - others - GAP - _size(first))
    return replace(part, pieces=[*first, (fit_middle(text, size), style)])


def last_step(view: View, header: RunHeader) -> int:
    """The step at which the run pauses: the limit, or the next multiple of it after a person continues past it."""
    limit = header.limit
    if not view.live or view.newest <= limit:
        return max(limit, view.newest)
    longest = header.settings.longest
    return -(-view.newest // longest) * longest if longest == limit else view.newest


def _size(pieces: Pieces) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def how(settings: RunSettings) -> str:
    """Context, sampler, and the temperature of the compared distributions."""
    words = f"{settings.follow} · {settings.sampling}"
    if settings.sampling.greedy:
        return f"{words} · T {settings.analysis_t:g}"
    if settings.analysis_t != settings.sampling.temperature:
        return f"{words} · analysed at T {settings.analysis_t:g}"
    return words


def _state(view: View) -> str:
    if view.phase is Phase.RUNNING:
        return f"▶ {view.speed:.1f}/s" if view.speed else "▶ running"
    if view.phase is Phase.READY:
        return "ready"
    if view.pause is None or (view.pause.met is not None and view.pause.met.condition.startswith("steps=")):
        return PAUSED
    return _STATES.get(view.pause.why, PAUSED)


PAUSED = "‖ paused"
_STATES = {
    Why.UNTIL: "‖ condition met",
    Why.ENDED: "■ ended",
    Why.TEXT: "■ ended",
    Why.STEPS: "■ limit reached",
    Why.CONTEXT: "■ limit reached",
    Why.INVALID: "■ invalid",
    Why.CUT: "■ no end recorded",
    Why.OPEN: "■ no end recorded",
}
"""The state of a run by the reason for its pause; after any other reason it can continue."""
