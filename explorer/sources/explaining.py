"""Explains steps of the run beside stepping, which has its turn with the models between any two passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from explorer.sources.lane import Turns
from explorer.sources.shown_errors import failure_of
from probes.schema.branches import Branches
from probes.schema.errors import BadInput, Cancelled, PhierError
from probes.schema.events import Event, Explained
from probes.schema.findings import OF_A_RUN, OF_A_SPAN, Finding, Kind, kind_of
from probes.schema.requests import Explain
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.explain.step import Explainer
    from probes.explain.sublayers import Sublayers
    from probes.pair import Pair
    from probes.stepping.lockstep import Lockstep

T = TypeVar("T")
Place = tuple[int, int, int | None, str, str]
"""Branch, step, last step, kind and level of a finding."""


class Overtaken(BadInput):
    """The run that was to be explained is gone, or its pruned model is."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownRun:
    """The run that is shown, with its models."""

    number: int
    pair: Pair
    lockstep: Lockstep
    branches: Branches


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """Steps to explain, alone or together."""

    request: Explain
    run: int
    branch: int
    """The one that owns the first step."""
    steps: range
    kinds: Sequence[Kind]

    def place(self, kind: str) -> Place:
        """Where a finding of this kind belongs."""
        if kind in OF_A_RUN:
            return 0, 0, None, kind, "sublayer"
        through = self.steps[-1] if len(self.steps) > 1 else None
        return self.branch, self.steps[0], through, kind, self.request.level if kind in OF_A_SPAN else "sublayer"

    def event(self, found: Finding, *, final: bool) -> Explained:
        branch, step, through, _, level = self.place(kind_of(found))
        return Explained(self.run, branch, step, found, through, level, final, request=self.request.id)


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
        self._apart: Sublayers | None = None

    def forget(self) -> None:
        """The run or its pruned model changes: what was found, and what is being found, no longer holds."""
        with self._lock:
            self._age += 1
            self._known.clear()
            self._apart = None

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
            spans = _spans(request, len(run.branches.path()))
            found = [attempt(partial(self._subject, request, steps, run, age, work)) for steps in spans]
        subjects = [one for one in found if one is not None]
        for number, (subject, explainer) in enumerate(subjects):
            if len(subjects) > 1:
                work.report(f"Explaining steps {request.step} to {request.through}", number, len(subjects), "steps")
            for kind in subject.kinds:
                with self._models.turn():
                    attempt(partial(self._answer, subject, explainer, kind, age))

    def _subject(
        self, request: Explain, steps: range, run: ShownRun, age: int, work: Work
    ) -> tuple[_Subject, Explainer]:
        from probes.explain.step import Explainer

        kinds = [kind for kind in request.kinds if len(steps) == 1 or kind in OF_A_SPAN | OF_A_RUN]
        if not kinds:
            what = " or ".join(request.kinds) or "nothing"
            raise BadInput("Nothing to explain", f"Steps can't be explained by {what} together.", "Explain one step.")
        subject = _Subject(request, run.number, run.branches.owner(steps[0]), steps, kinds)

        def in_between() -> bool:
            """Lets other threads use the models, between two passes."""
            self._models.pass_on(everybody=True)
            self._check(age)
            return work.cancelled is not None and work.cancelled()

        explainer = Explainer(
            run.lockstep,
            steps,
            level=request.level,
            sublayers=lambda: self._taken_apart(run.lockstep),
            told=lambda found: self._found(subject, found, age, explainer.notes, final=False),
            work=replace(work, cancelled=in_between),
        )
        return subject, explainer

    def _answer(self, subject: _Subject, explainer: Explainer, kind: Kind, age: int) -> None:
        from probes.explain.step import KINDS_FOUND

        self._check(age)
        known = self._known.get(subject.place(kind))
        if known is not None:
            self._tell(replace(known, request=subject.request.id))
            return
        if kind not in KINDS_FOUND:
            raise BadInput("Nothing to explain", f"Steps can't be explained by {kind} here.", "Ask for another kind.")
        found = explainer.find(kind)
        if found is not None:
            self._found(subject, found, age, explainer.notes, final=True)

    def _found(self, subject: _Subject, found: Finding, age: int, notes: Sequence[str], *, final: bool) -> None:
        event = replace(subject.event(found, final=final), notes=tuple(notes))
        with self._lock:
            self._check(age)
            if final:
                self._known[subject.place(kind_of(found))] = event
            self._tell(event)

    def _check(self, age: int) -> None:
        if age != self._age:
            raise Overtaken(
                "Nothing explained",
                "The run or its pruned model changed before the explanation was done.",
                "Explain it again.",
            )

    def _taken_apart(self, lockstep: Lockstep) -> Sublayers:
        """The sublayers of both models, taken apart once for a pair."""
        from probes.explain.sublayers import take_apart

        if self._apart is None:
            dense, pruned = lockstep.models
            self._apart = take_apart(dense.model, pruned.model)
        return self._apart


def _spans(request: Explain, there: int) -> list[range]:
    """The steps that are explained together: all of them, or each alone, the nearest first. Raises `BadInput` if one is
    not among those that are there."""
    through = request.step if request.through is None else request.through
    missing = next((step for step in (request.step, through) if not 1 <= step <= there), None)
    if missing is not None:
        steps = f"steps 1 to {there}" if there else "no steps"
        raise BadInput("No such step", f"Step {missing} is not there: the run has {steps}.", "Choose one of them.")
    if through < request.step:
        raise BadInput("Span", f"Steps {request.step} to {through} are no span.", "Mark the earlier step first.")
    span = range(request.step, through + 1)
    near = request.near
    return [span] if near is None else [range(one, one + 1) for one in sorted(span, key=lambda one: abs(one - near))]
