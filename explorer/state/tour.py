"""The tour: six stops through what pruning does to generation. A stop is left when its key has done its work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from explorer.state.view import Phase, View
from explorer.words import tour_words
from explorer.words.bound_keys import key_of
from probes.schema.errors import FailureKind
from probes.schema.explanation import Swaps


class TourPage(StrEnum):
    """The screen that is seen, as far as the tour is concerned."""

    MAIN = "main"
    WHY = "why"
    VERDICT = "verdict"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Stop:
    """A sentence about what is seen, and the key that leads on."""

    title: str
    command: str
    """The name of the command of the main screen that leads on; "" if none of it does."""
    shown: str
    """The keys that do it, in a sentence."""
    does: str
    """What the key does, after "Press …"."""
    tells: Callable[[View], str]
    over: Callable[[View, TourPage, bool], bool]
    """Has the key done its work? The last argument says if it was pressed at this stop; a click does without."""
    told_at: str
    """The command of the main screen that leads to what the sentence tells; "" if it tells of no step."""
    possible: Callable[[View], bool] = lambda _view: True
    """Is there anything to see at it?"""


def _two_models(view: View) -> str:
    if view.phase is Phase.FAILED:
        stopped = view.failure is not None and view.failure.kind is FailureKind.CANCELLED
        return tour_words.CANCELLED if stopped else tour_words.NO_MODELS
    if view.header is None:
        return tour_words.LOADING
    return tour_words.WRITING if view.running else tour_words.two_models(view.header)


def _parting_texts(view: View) -> str:
    record = view.path[view.split - 1] if view.split else None
    if record is None or record.dense is None or record.pruned is None:
        return "Both models have chosen the same tokens so far."
    return tour_words.parting_texts(record.step, record.dense.token, record.pruned.token)


def _accumulated(view: View) -> str:
    """At the worst step, wherever a person looks around meanwhile."""
    worst = view.highest_kl()
    record = view.path[worst - 1] if worst is not None else view.record
    if record is None:
        return tour_words.NOTHING_ADDED
    found, shared = record.shared or record.own, record.shared is not None
    return tour_words.accumulated(record.step, found.p.kl if found else None, view.split, record.sum, shared=shared)


def _which_layer(view: View) -> str:
    event = view.explained(Swaps, *view.explained_steps)
    found = event.found if event is not None and isinstance(event.found, Swaps) else None
    exact = event is not None and event.final
    return tour_words.which_layer(found, exact=exact, live=view.live, stops=_stops(view))


def _stops(view: View) -> bool:
    """Does the pruned model alone choose a token at the cursor that has ended a text of this run?"""
    record = view.record
    if record is None or record.dense is None or record.pruned is None:
        return False
    taken = (one for step in view.path for one in (step.taken, step.taken_pruned))
    ends = {one.token_id for one in taken if one is not None and one.end}
    return record.pruned.token_id in ends and record.dense.token_id not in ends


def _where_safe(view: View) -> str:
    verdict = view.results.present.verdict
    return tour_words.where_safe(verdict.rows if verdict is not None else (), live=view.live)


def judged(view: View) -> bool:
    """Are there scores of tasks, all of them final?"""
    verdict = view.results.present.verdict
    return verdict is not None and bool(verdict.rows) and all(row.final for row in verdict.rows)


def _ran(view: View, _page: TourPage, _pressed: bool) -> bool:
    return view.newest > 0 and not view.running and view.work is None


def _at_worst(view: View, page: TourPage, pressed: bool) -> bool:
    worst = view.highest_kl()
    return page is TourPage.MAIN and view.cursor == worst and (pressed or worst not in (view.split, view.newest))


STOPS: tuple[Stop, ...] = (
    Stop("Two models, one prompt", "run", key_of("run"), "lets them write", _two_models, _ran, ""),
    Stop(
        "Where the texts part",
        "split",
        key_of("split"),
        "goes to the split",
        _parting_texts,
        lambda view, page, _: page is TourPage.MAIN and view.cursor == view.split and not view.running,
        "newest",
        lambda view: view.split is not None,
    ),
    Stop(
        "One change, three spaces",
        "highest",
        key_of("highest"),
        "goes to the worst step",
        lambda view: tour_words.three_spaces(view.record),
        _at_worst,
        "split",
    ),
    Stop(
        "It accumulates",
        "why",
        key_of("why"),
        "asks which layer did it",
        _accumulated,
        lambda _view, page, _: page is TourPage.WHY,
        "highest",
    ),
    Stop(
        "Which layer did it",
        "verdict",
        key_of("verdict"),
        "asks where it holds",
        _which_layer,
        lambda _view, page, _: page is TourPage.VERDICT,
        "why",
    ),
    Stop(
        "Where it holds",
        "",
        key_of("tour-on"),
        "ends the tour",
        _where_safe,
        lambda _view, _page, _: False,
        "verdict",
    ),
)


class Tour:
    """Where a person is on the tour."""

    def __init__(self) -> None:
        """At the first stop, which is shown even if the models have written."""
        self._at = 0
        self._seen: tuple[object, ...] = ()
        """What was seen at the last look."""
        self._pressed = False
        """Was the key of the stop pressed at it?"""
        self._held = True
        """A stop that is told again stays until something else is seen: its key may have done its work before."""

    @property
    def number(self) -> int:
        """The stop, from 1."""
        return self._at + 1

    @property
    def stop(self) -> Stop:
        return STOPS[self._at]

    @property
    def last(self) -> bool:
        return self._at == len(STOPS) - 1

    def notice(self, view: View, page: TourPage) -> None:
        """Leaves a stop whose key has done its work, and passes over one at which there is nothing to see."""
        seen = (view.run, view.cursor, view.newest, view.running, page)
        self._held = self._held and view.newest > 0 and self._seen in ((), seen)
        self._seen = seen
        if view.header is not None and not self._held and self.stop.over(view, page, self._pressed):
            self._at, self._pressed = self._at + 1, False
            while not self.stop.possible(view):
                self._at += 1

    def press(self) -> None:
        """Takes note that the key of the stop was pressed. It also lets one go that was told again."""
        self._pressed, self._held = True, False

    def back(self, view: View) -> None:
        """Tells the stop before again, if there was something to see at it."""
        self._at, self._held, self._pressed = max(0, self._at - 1), True, False
        while self._at and not self.stop.possible(view):
            self._at -= 1

    def next_key(self, view: View, page: TourPage) -> str:
        """The key that leads on now, and what it does."""
        stop = self.stop
        if view.phase is Phase.FAILED:
            return f"{key_of('tour-on')} takes it on a recording"
        if view.header is None:
            return "a moment, please"
        if view.running:
            return tour_words.wait(view.newest, view.header.limit, played=view.playback is not None)
        if self.last and view.live and not judged(view):
            return f"{key_of('tour-on')} shows recorded scores"
        if view.work is not None and stop.command == "run":
            return "a moment, please"
        if view.newest and stop.command == "run":
            return f"{key_of('tour-on')} goes on, as they have written"
        leave = f"{key_of('leave')} " if page is TourPage.WHY and stop.command != "why" else ""
        return f"{leave}{stop.shown} {stop.does}"
