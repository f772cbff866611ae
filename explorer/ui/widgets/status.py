"""The line above the keys: the work in progress, why the run is paused, or what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.cells import cell_len
from textual.geometry import Size

from explorer.sources.playback import speed_in_brief, speed_in_words
from explorer.state.timed_work import TimedWork
from explorer.state.view import Phase, View
from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.words import numbers
from explorer.words import sentences as reading
from explorer.words.bound_keys import key_of
from explorer.words.pauses import pause_sentence
from explorer.words.token_text import fit, flowing
from probes.schema.counting import number_of
from probes.schema.events import PlaybackChanged, Why

SO_FAR = 3.0
"""Seconds after which slow work shows how long it has taken, so that a person sees it is still running."""


class Status(LineWidget):
    """One sentence."""

    DEFAULT_CSS = "Status { height: 1; }"

    def __init__(self, *, on_main: bool = True) -> None:
        """Another page than the main one has other keys, so its sentence names none of the main screen's."""
        super().__init__(id="status")
        self._on_main = on_main
        self._state: tuple[object, ...] = ()
        self._view: View | None = None

    def show(self, view: View) -> None:
        state = (
            view.phase,
            view.work,
            view.pause,
            view.following,
            view.behind,
            view.failure,
            view.opened,
            view.cursor,
            playing(view),
            view.search and (view.search, len(view.hits), view.marks.version),
            int(view.working_for),
        )
        if state != self._state:
            self._state, self._view = state, view
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width = size.width
        view, palette = self._view, self.palette
        if view is None:
            return []
        if view.work is not None:
            pieces = work_pieces(view, view.work, palette, max(8, min(24, width // 5)))
            return [[(" ", None), *((self.with_keys(text), style) for text, style in pieces)]]
        text = sentence(view, width - 1, self.with_keys) if self._on_main else place_sentence(view)
        if not text and self.screen.has_class("-compact"):
            text = reading.sentences(view.record, view.diverges_at, scored=view.scores)[1]
            text = self.with_keys(text)
        return [[(f" {fit(text, width - 1)}", palette.muted)]]


def sentence(view: View, width: int, keyed: Callable[[str], str]) -> str:
    """The most useful sentence now, besides the figures, in about `width` cells; `keyed` fills the keys in."""
    return keyed(_sentence(view, width, keyed))


def _sentence(view: View, width: int, keyed: Callable[[str], str]) -> str:
    if view.phase is Phase.READY:
        return ""
    if view.search is not None:
        return view.search.sentence(view.cursor)
    if not view.following:
        behind = number_of(view.behind, "step")
        state = "still running" if view.running else "paused"
        return f"{behind} behind the newest ({state}). {key_of('newest')} returns to it."
    if view.running:
        return f"Plays {playing(view)}." if view.playback else ""
    if view.pause is None:
        branch = view.branches[view.branches.current]
        return (
            f"Branch {branch.id}, from step {branch.step} on. {key_of('run')} continues."
            if branch.id and view.live
            else ""
        )
    if view.opened:
        back = key_of("passages" if view.scores else "verdict")
        return f"{view.opened[0].upper()}{view.opened[1:]}. {back} goes back to the list."
    reason = flowing(pause_sentence(view.pause))
    if view.playback is not None:
        ways = keyed(play_keys(view.playback))
        # A long sentence is cut to make room for the keys, which are shown nowhere else on the screen.
        room = width - cell_len(ways) - 1
        return f"{reason if cell_len(reason) <= room else fit(reason, room)} {ways}".strip()
    return f"Paused: {reason}" if view.pause.why is Why.UNTIL else reason


def place_sentence(view: View) -> str:
    """Where the cursor is, or else why the run is paused."""
    if view.cursor and not view.following:
        return f"Step {view.cursor} of {view.newest}{', still running' * view.running}."
    return flowing(pause_sentence(view.pause)) if view.pause is not None and not view.running else ""


def play_keys(playback: PlaybackChanged) -> str:
    """The keys that act on a paused recording."""
    loop = f"{key_of('loop')} {'once' if playback.loop else 'loop'}"
    slower, faster = key_of("bracket-left-square-bracket"), key_of("bracket-right-square-bracket")
    return f"{key_of('run')} plays {speed_in_brief(playback)}; {slower} {faster} speed, {loop}, {key_of('rest')} end."


def playing(view: View) -> str:
    """Speed and loop of a recording; "" of a live run."""
    return speed_in_words(view.playback) if view.playback is not None else ""


def work_text(work: TimedWork, seconds: float = 0.0) -> str:
    """How far the work is: "45.0 of 112 MB, 8.2 MB/s, 9 s left". If that is unknown: how long it has taken."""
    progress = work.progress
    so_far = f"{numbers.duration(seconds)} so far" if seconds >= SO_FAR else ""
    if progress.done is None:
        return so_far
    if progress.unit == "bytes":
        parts = [numbers.byte_count(progress.done)]
        if progress.total:
            parts = [f"{numbers.byte_count(progress.done)} of {numbers.byte_count(progress.total)}"]
        if work.rate and work.share != 1:
            parts.append(f"{numbers.byte_count(work.rate)}/s")
    elif progress.total:
        done, total = f"{progress.done:,.0f}", f"{progress.total:,.0f}"
        parts = [
            f"{done} of {total} {progress.unit}" if progress.unit else f"{100 * progress.done / progress.total:.0f} %"
        ]
    else:
        parts = [f"{progress.done:,.0f} {progress.unit}".strip()]
    if work.left is not None:
        parts.append(f"{numbers.duration(work.left)} left")
    elif so_far:
        parts.append(so_far)
    return ", ".join(parts)


def work_pieces(view: View, work: TimedWork, palette: Palette, width: int) -> list[Piece]:
    """The task, a bar if the total is known, how far it is, and how to stop it."""
    pieces: list[Piece] = [(f"{flowing(work.progress.task)}  ", palette.strong)]
    if work.share is not None:
        full = round(work.share * width)
        pieces += [("━" * full, palette.dense), ("╌" * (width - full), palette.faint), ("  ", None)]
    pieces.append((work_text(work, view.working_for), palette.text))
    pieces.append((f"  {key_of('back', 'leave')} cancels", palette.muted))
    return pieces
