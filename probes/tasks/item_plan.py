"""Makes the order in which items are scored: the tasks advance together, so that the verdict has something of each
early, and the time left follows from the share that is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from probes.schema.task_results import ItemResult, Similarities

Scored = ItemResult | Similarities


@dataclass(eq=False)
class TaskPlan:
    """What is left to do of one task."""

    texts: int
    """How many texts are read: items, and the documents of a retrieval task."""
    scored: Iterator[Sequence[Scored]]
    """Reads one text after another, and gives what is known then."""
    read: int = field(default=0, init=False)

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        return self.read / self.texts if self.texts else 1.0


def in_turn(plans: Sequence[TaskPlan]) -> Iterator[Sequence[Scored]]:
    """What is known after each text of the task of which the smallest share is done; of equal ones, the first."""
    while left := [plan for plan in plans if plan.read < plan.texts]:
        plan = min(left, key=lambda one: one.share)
        found = next(plan.scored)
        plan.read += 1
        yield found
