"""Asks for what explains the cursor's step while a screen shows it, and cancels what nobody needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from explorer.sources.source import Source
from explorer.state.view import View
from probes.schema.errors import FailureKind
from probes.schema.events import Failed, WorkProgressed
from probes.schema.explanation import Swaps
from probes.schema.findings import KINDS, Kind
from probes.schema.part import Part
from probes.schema.requests import Cancel, Explain, FindRepair, SwapLevel

NEAR_STEPS = 48
"""How many steps around the cursor have their layers computed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing to be computed."""

    branch: int
    kind: Kind
    step: int
    through: int | None = None
    level: SwapLevel = "sublayer"
    near: int | None = None
    within: Part | None = None
    """The sublayer whose pieces are exchanged, if not those of all."""

    @property
    def request(self) -> Explain:
        return Explain(self.step, self.through, (self.kind,), self.level, self.within, self.near)

    def answered(self, view: View, request: int | None = None) -> bool:
        """Has the last value arrived, in answer to this request if it matters which one?"""
        finding = KINDS[self.kind]
        if self.near is not None:
            return all(view.explained(finding, step) for step in range(self.step, (self.through or self.step) + 1))
        found = view.explained(finding, self.step, self.through, self.level)
        if found is None or not found.final or self.level == "sublayer":
            return found is not None and found.final
        if self.within is None:  # only the source knows if these are the pieces of all sublayers
            return found.request == request
        return isinstance(found.found, Swaps) and found.found.has(self.within)


def wanted(
    view: View, *, level: SwapLevel = "sublayer", within: Part | None = None, shown: Kind | None = None
) -> list[Wanted]:
    """What explains the cursor's step, or the marked span, in the order in which it is needed.

    After the layers comes what is about to be looked at: the kind that is `shown`, or swaps of a lower level,
    `within` one sublayer. A run has the models first: while the cursor follows it, nothing is computed about a step
    that is gone before it is done, and while one looks back, nothing about other steps.
    """
    step, branch = view.cursor, view.branches.current
    if not step or not view.live:
        return []
    here = Wanted(branch, "layers", step)
    if view.running and view.following:
        return []
    first, through = view.explained_steps
    found = [Wanted(branch, "split", step), Wanted(branch, "swaps", first, through), Wanted(branch, "quadrants", step)]
    if level != "sublayer":
        found.insert(0, Wanted(branch, "swaps", first, through, level, within=within))
    if shown == "split":
        found.append(fork_of(view))
    if view.running:
        return [here, *found]
    near = near_steps(view)
    found.append(Wanted(branch, "layers", near[0], near[-1], near=step))
    found.append(Wanted(branch, "noise_floor", 0))
    urgent = {"split": ("split", "fork"), "quadrants": ("quadrants",), "noise_floor": ("noise_floor",)}.get(
        shown or "", ()
    )
    return [here, *sorted(found, key=lambda one: one.kind not in urgent)]


def near_steps(view: View) -> range:
    """The steps around the cursor whose layers are computed while nothing runs."""
    start = max(1, min(view.cursor - NEAR_STEPS // 2, view.newest - NEAR_STEPS + 1))
    return range(start, min(view.newest, start + NEAR_STEPS - 1) + 1)


def fork_of(view: View) -> Wanted:
    """The fork verdict of the cursor's step."""
    return Wanted(view.branches.current, "fork", view.cursor)


class ExplainRequests:
    """Keeps the requests of one sitting. The answers are in the view."""

    def __init__(self, source: Source, view: View) -> None:
        self._source = source
        self._view = view
        self._asked: dict[Wanted, int] = {}
        """The request for each thing, in the order in which they were made."""
        self._run = 0
        self._repair: FindRepair | None = None

    def want(self, things: Sequence[Wanted]) -> None:
        """Asks for what is not there yet. What is no longer wanted, or less than something new, is cancelled.

        A search for a repair comes before all of it."""
        view = self._view
        if view.run != self._run:
            self._run, self._repair = view.run, None
            self._asked.clear()
        things = [] if self.searching else [other for one in things for other in self._not_there(one)]
        open_ = [one for one in things if self._is_open(one)]
        kept = 0
        asked = [one for one in self._asked if self._is_open(one)]
        while kept < min(len(open_), len(asked)) and open_[kept] == asked[kept]:
            kept += 1
        for one in asked[kept:]:
            self._cancel(self._asked.pop(one))
        for one in open_[kept:]:
            request = one.request
            self._asked[one] = request.id
            view.beside[request.id] = None
            self._source.ask(request)

    def stop(self) -> None:
        """Cancels everything; what has arrived stays."""
        self.want([])

    def refused(self, thing: Wanted) -> Failed | None:
        """Why it could not be computed; None if it can be or has not been tried."""
        answer = self._view.beside.get(self._asked.get(thing, -1))
        return answer if isinstance(answer, Failed) and answer.kind is not FailureKind.CANCELLED else None

    def retry(self) -> None:
        """Forgets what failed, so that it is asked for again."""
        for one in [one for one in self._asked if self.refused(one) is not None]:
            del self._asked[one]

    @property
    def failed(self) -> bool:
        """Has anything that was asked for failed?"""
        return any(self.refused(one) is not None for one in self._asked)

    @property
    def progress(self) -> WorkProgressed | None:
        """The work in progress, None if nothing is computed or nothing is known about it."""
        for one, request in self._asked.items():
            found = self._view.beside.get(request)
            if isinstance(found, WorkProgressed) and self._is_open(one):
                return found
        return None

    @property
    def computed(self) -> Wanted | None:
        """The first thing that was asked for and is not there yet; None if there is none."""
        return next(filter(self._is_open, self._asked), None)

    def awaits(self, kind: Kind) -> bool:
        """Is anything of this kind asked for and not there yet?"""
        return any(one.kind == kind and self._is_open(one) for one in self._asked)

    def _not_there(self, thing: Wanted) -> list[Wanted]:
        """The thing itself; of steps that are explained alone, only those that are neither there nor asked for."""
        if thing.near is None or thing.through is None:
            return [thing]
        asked = [
            one for one in self._asked if (one.kind, one.branch, one.near) == (thing.kind, thing.branch, thing.near)
        ]
        asked = [one for one in asked if one.through is not None and self._is_open(one)]
        covered = {step for one in asked for step in range(one.step, (one.through or 0) + 1)}
        finding = KINDS[thing.kind]
        steps = range(thing.step, thing.through + 1)
        missing = [step for step in steps if step not in covered and not self._view.explained(finding, step)]
        return [*asked, *([replace(thing, step=missing[0], through=missing[-1])] if missing else [])]

    def _is_open(self, thing: Wanted) -> bool:
        """Has it neither arrived nor failed?"""
        return not thing.answered(self._view, self._asked.get(thing)) and self.refused(thing) is None

    # What to give back.

    def repair(self, request: FindRepair) -> None:
        """Searches for what to give back, in place of an earlier search."""
        self.cancel_repair()
        self.stop()
        self._repair = request
        self._view.beside[request.id] = None
        self._source.ask(request)

    def cancel_repair(self) -> bool:
        """Stops the search; False if there is none."""
        if not self.searching or self._repair is None:
            return False
        self._cancel(self._repair.id)
        return True

    @property
    def asked_repair(self) -> FindRepair | None:
        """The latest search of this run."""
        return self._repair

    @property
    def repair_answer(self) -> WorkProgressed | Failed | None:
        """How far the search is, or why it failed."""
        return self._view.beside.get(self._repair.id) if self._repair is not None else None

    @property
    def searching(self) -> bool:
        """Is a search in progress?"""
        one = self._repair
        if one is None or isinstance(self.repair_answer, Failed):
            return False
        found = self._view.explained(KINDS["repair"], one.step, one.through, one.level)
        return found is None or not found.final or found.request not in (0, one.id)

    def _cancel(self, request: int) -> None:
        self._source.ask(Cancel(request))
