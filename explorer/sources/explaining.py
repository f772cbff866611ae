"""Explains steps of the run beside stepping, which has its turn with the models between any two passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from explorer.sources.kept_findings import KeptFindings
from explorer.sources.lane import Turns
from explorer.sources.shown_errors import failure_of
from explorer.sources.subjects import Place, Subject, place_of, subjects
from probes.schema.branches import Branches
from probes.schema.errors import BadInput, Cancelled, PhierError
from probes.schema.events import Event, Explained
from probes.schema.explanation import Swaps
from probes.schema.findings import Finding
from probes.schema.part import Part
from probes.schema.record import StepRecord
from probes.schema.requests import Explain, FindRepair
from probes.schema.settings import RunSettings
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.explain.step import Explainer
    from probes.explain.sublayers import Sublayers
    from probes.explain.unaligned import Unaligned
    from probes.pair import Pair
    from probes.stepping.lockstep import Lockstep

T = TypeVar("T")


class Overtaken(BadInput):
    """The run that was to be explained is gone, or its pruned model is."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownRun:
    """The run that is shown, with its models."""

    number: int
    pair: Pair
    lockstep: Lockstep
    branches: Branches
    fingerprint: str
    """Of the dense weights; "" if it is not known."""


class Explaining:
    """What was found about the run that is shown, and the work that finds more."""

    def __init__(
        self,
        models: Turns,
        lock: threading.RLock,
        shown: Callable[[], ShownRun],
        tell: Callable[[Event], None],
    ) -> None:
        """`shown` gives the run, or raises `BadInput` if there is none. `lock` guards it, and the order of events."""
        self._models, self._lock, self._shown, self._tell = models, lock, shown, tell
        self._age = 0
        """Grows whenever the run or its pruned model changes."""
        self._known: dict[Place, Explained] = {}
        self._begun: dict[tuple[Place, Part | None], Explained] = {}
        """Exchanges that were cancelled before the last one was measured. They resume from there."""
        self._every_piece: set[Place] = set()
        """Places where the pieces of all sublayers were exchanged."""
        self._kept = KeptFindings()
        self._apart: Sublayers | Unaligned | None = None

    def forget(self) -> None:
        """The run or its pruned model changes: what was found, and what is being found, no longer holds."""
        with self._lock:
            self._age += 1
            self._known.clear()
            self._begun.clear()
            self._every_piece.clear()
            self._apart = None

    def keep(self, setting: str, settings: RunSettings) -> None:
        """Remembers what was found about the path that is shown, which the pruned model of this setting has taken."""
        with self._lock:
            if not self._known:
                return
            branches = self._shown().branches
            here = [one for one in self._known.values() if not one.step or branches.owner(one.step) == one.branch]
            self._kept.keep(setting, settings, branches.path(), here)

    def recall(self, setting: str, settings: RunSettings, path: Sequence[StepRecord]) -> None:
        """Sends again what was found earlier about these steps, which the run that is shown has or will have."""
        with self._lock:
            self.take_over(self._kept.find(setting, settings, path))

    def take_over(self, found: Sequence[Explained]) -> None:
        """Sends again what was found about steps of the run that is shown, as findings of its first branch."""
        with self._lock:
            run = self._shown()
            for event in found:
                again = replace(event, run=run.number, branch=0, request=0)
                self._known[place_of(again)] = again
                self._tell(again)

    def explain(self, request: Explain, work: Work) -> None:
        """Answers a request. If one kind can't be found, that is reported, and the others are found all the same.

        Raises `BadInput` if a step is not there or nothing that is asked for can be about the steps, `Overtaken` if the
        run changes meanwhile, and `Cancelled`.
        """
        reported: set[str] = set()

        def attempt(task: Callable[[], T]) -> T | None:
            try:
                return task()
            except (Cancelled, Overtaken):
                raise
            except PhierError as problem:
                if problem.message not in reported:
                    self._tell(failure_of(problem, request.id))
                reported.add(problem.message)
                return None

        with self._models.turn(), self._lock:
            run, age = self._shown(), self._age
            asked = subjects(request, run.number, run.branches)
            missing = [(one, self._missing(one, request.within)) for one in asked]
            made = [
                (one, kinds, explainer)
                for one, kinds in missing
                if kinds and (explainer := attempt(partial(self._explainer, one, request, run, age, work)))
            ]
        for number, (subject, kinds, explainer) in enumerate(made):
            if len(made) > 1:
                work.report(f"Explaining steps {request.step} to {request.through}", number, len(made), "steps")
            for kind in kinds:
                with self._models.turn():
                    self._check(age)
                    attempt(partial(self._find, subject, explainer, kind, age, request.within))

    def repair(self, request: FindRepair, work: Work) -> None:
        """Searches for what to give back. Raises what `probes.explain.repair` raises, and what `explain` raises."""
        from probes.explain.repair import repair

        with self._models.turn():
            with self._lock:
                run, age = self._shown(), self._age
                (subject,) = subjects(request, run.number, run.branches)
            work = self._giving_turns(work, age)
            found = repair(
                run.pair,
                run.lockstep,
                subject.steps,
                request.goal,
                level=request.level,
                held_out=request.held_out,
                early=lambda found: self._found(subject, found, age, work.notes, final=False),
                work=work,
            )
            self._found(subject, found, age, work.notes, final=True)

    def _missing(self, subject: Subject, within: Part | None) -> list[str]:
        """The kinds that are not found yet. Those that are, are sent again."""
        known = {kind: self._known.get(subject.place(kind)) for kind in subject.kinds}
        if subject.request.level != "sublayer" and not self._has_pieces(subject, within):
            known["swaps"] = None
        for event in known.values():
            if event is not None:
                self._tell(replace(event, request=subject.request.id))
        return [kind for kind, event in known.items() if event is None]

    def _giving_turns(self, work: Work, age: int) -> Work:
        """The same work, which lets other threads use the models whenever it is checked."""

        def in_between() -> bool:
            self._models.pass_on(everybody=True)
            self._check(age)
            return work.cancelled is not None and work.cancelled()

        return replace(work, cancelled=in_between)

    def _has_pieces(self, subject: Subject, within: Part | None) -> bool:
        """Are the pieces of this sublayer, or those of all, among the exchanges that are known?"""
        place = subject.place("swaps")
        known = self._known.get(place)
        if within is None or place in self._every_piece:
            return place in self._every_piece
        return known is not None and isinstance(known.found, Swaps) and known.found.has(within)

    def _explainer(self, subject: Subject, request: Explain, run: ShownRun, age: int, work: Work) -> Explainer:
        from probes.explain.step import Explainer

        begun = self._begun.get((subject.place("swaps"), request.within))
        explainer = Explainer(
            run.lockstep,
            subject.steps,
            level=request.level,
            within=() if request.within is None else (request.within,),
            begun=begun.found if begun is not None and isinstance(begun.found, Swaps) else None,
            sublayers=lambda: self._taken_apart(run.lockstep),
            early=lambda found: self._found(subject, found, age, explainer.notes, within=request.within, final=False),
            mark=run.fingerprint,
            work=self._giving_turns(work, age),
        )
        if begun is not None:
            explainer.notes += begun.notes
        return explainer

    def _find(self, subject: Subject, explainer: Explainer, kind: str, age: int, within: Part | None) -> None:
        from probes.explain.step import KINDS_FOUND

        if kind not in KINDS_FOUND:
            raise BadInput("Nothing to explain", f"Steps can't be explained by {kind} here.", "Ask for another kind.")
        found = explainer.find(kind)
        if found is None:  # of the kinds, only a fork needs more than the steps
            message = f"Both models choose one token at step {subject.steps[0]}, or one can't choose."
            raise BadInput("Nothing to follow", message, "Explain the step of a split.")
        self._found(subject, found, age, explainer.notes, within=within, final=True)

    def _found(
        self,
        subject: Subject,
        found: Finding,
        age: int,
        notes: Sequence[str],
        *,
        within: Part | None = None,
        final: bool,
    ) -> None:
        event = subject.event(found, notes, final=final)
        place = place_of(event)
        with self._lock:
            self._check(age)
            if isinstance(found, Swaps):
                if final:
                    self._begun.pop((place, within), None)
                else:
                    self._begun[place, within] = event
                if event.level != "sublayer" and within is None and final:
                    self._every_piece.add(place)
                known = self._known.get(place)
                if within is not None and known is not None and isinstance(known.found, Swaps):
                    notes = tuple(dict.fromkeys((*known.notes, *event.notes)))
                    event = replace(event, found=known.found.joined(found), notes=notes)
            if final:
                self._known[place] = event
            self._tell(event)

    def _check(self, age: int) -> None:
        if age != self._age:
            raise Overtaken(
                "Nothing explained",
                "The run or its pruned model changed before the explanation was done.",
                "Explain it again.",
            )

    def _taken_apart(self, lockstep: Lockstep) -> Sublayers | Unaligned:
        """The sublayers of both models, taken apart once for a pair."""
        from probes.explain.unaligned import take_apart_or_alone

        if self._apart is None:
            dense, pruned = lockstep.models
            self._apart = take_apart_or_alone(dense.model, pruned.model)
        return self._apart
