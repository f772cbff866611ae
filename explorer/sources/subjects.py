"""The steps that a request to explain is about, and where what is found about them belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probes.schema.branches import Branches
from probes.schema.errors import BadInput
from probes.schema.events import Explained
from probes.schema.findings import OF_A_RUN, OF_A_SPAN, Finding, kind_of
from probes.schema.requests import Explain, FindRepair

Place = tuple[int, int, int | None, str, str]
"""Branch, step, last step, kind and level of a finding."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Steps that are explained alone or together."""

    request: Explain | FindRepair
    run: int
    branch: int
    """The one that owns the first step."""
    steps: range
    kinds: Sequence[str]
    """Those that can be about the steps."""

    def place(self, kind: str) -> Place:
        """Where a finding of this kind belongs."""
        if kind in OF_A_RUN:
            return 0, 0, None, kind, "sublayer"
        through = self.steps[-1] if len(self.steps) > 1 else None
        return self.branch, self.steps[0], through, kind, self.request.level if kind in OF_A_SPAN else "sublayer"

    def event(self, found: Finding, notes: Sequence[str] = (), *, final: bool = True) -> Explained:
        """The event that says what was found."""
        branch, step, through, _, level = self.place(kind_of(found))
        return Explained(self.run, branch, step, found, through, level, final, tuple(notes), request=self.request.id)


def place_of(event: Explained) -> Place:
    """Where a finding that was sent or recorded belongs."""
    return event.branch, event.step, event.through, kind_of(event.found), event.level


def subjects(request: Explain | FindRepair, run: int, branches: Branches) -> list[Subject]:
    """The steps of the current branch that are asked for: all together, or each alone and the nearest first.

    What is about the whole run is found at its newest step. Raises `BadInput` if a step is not there, or if no kind
    that is asked for can be about them.
    """
    there = len(branches.path())
    asked: Sequence[str] = request.kinds if isinstance(request, Explain) else ("repair",)
    if request.step == 0 and there and asked and OF_A_RUN.issuperset(asked):
        return [Subject(request, run, 0, range(there, there + 1), asked)]
    through = request.step if request.through is None else request.through
    missing = next((step for step in (request.step, through) if not 1 <= step <= there), None)
    if missing is not None:
        steps = f"steps 1 to {there}" if there else "no steps"
        raise BadInput("No such step", f"Step {missing} is not there: the run has {steps}.", "Choose one of them.")
    if through < request.step:
        raise BadInput("Span", f"Steps {request.step} to {through} are no span.", "Mark the earlier step first.")
    span, near = range(request.step, through + 1), request.near if isinstance(request, Explain) else None
    alone = near is not None or len(span) == 1
    kinds = [kind for kind in asked if alone or kind in OF_A_SPAN | OF_A_RUN]
    if not kinds:
        what = " or ".join(asked) or "nothing"
        raise BadInput("Nothing to explain", f"Steps can't be explained by {what} together.", "Explain one step.")
    each = [span] if near is None else [range(n, n + 1) for n in sorted(span, key=lambda step: abs(step - near))]
    return [Subject(request, run, branches.owner(steps[0]), steps, kinds) for steps in each]
