"""The tree of paths a run has taken: forking opens a branch, and earlier branches stay whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probes.schema.bounds import Natural, Place
from probes.schema.record import StepRecord


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a path left its parent, and what was forced there."""

    id: Natural
    parent: Natural | None
    """None for the first path of a run."""
    step: Place
    """The first step that is this branch's own; those before it are the parent's."""
    dense: Natural | None = None
    """Token id forced on the dense model (on both, where they share one context) at that step."""
    pruned: Natural | None = None
    """Token id forced on the pruned model's own context (`free`)."""
    label: str = ""
    """What a person reads in the list of branches: "“ half” forced at 3"."""


class Branches:
    """All branches of one run with their records; knows which one is current."""

    def __init__(self) -> None:
        self._branches: dict[int, Branch] = {0: Branch(0, None, 1)}
        self._own: dict[int, list[StepRecord]] = {0: []}
        self._paths: dict[int, list[StepRecord]] = {0: []}
        self.current = 0
        """Id of the branch that is shown and continued."""

    def __iter__(self) -> Iterator[Branch]:
        return iter(self._branches.values())

    def __len__(self) -> int:
        return len(self._branches)

    def __contains__(self, branch: object) -> bool:
        """Is there a branch of this id?"""
        return branch in self._branches

    def __getitem__(self, branch: int) -> Branch:
        return self._branches[branch]

    def next_id(self) -> int:
        return max(self._branches) + 1

    def that_takes(self, step: int, dense: object, pruned: object) -> int | None:
        """The branch that goes along with the current path up to this step and has taken these tokens there.

        `dense` and `pruned` are what a fork would force: a token's id on one text or both. Where both models share one
        context either stands for it. None if no branch has taken them, or a token is given by its text.
        """
        before = self._paths[self.current][: step - 1]
        for branch in sorted(self._paths, key=lambda one: one != self.current):
            path = self._paths[branch]
            if len(path) >= step and path[: step - 1] == before and _takes(path[step - 1], dense, pruned):
                return branch
        return None

    def open(self, branch: Branch) -> None:
        """Adds a branch and makes it current. Raises ValueError where its id is taken or its parent unknown."""
        if branch.id in self._branches or branch.parent not in self._branches:
            raise ValueError(f"branch {branch.id} can't be opened from {branch.parent}")
        prefix = self._paths[branch.parent][: branch.step - 1]
        if len(prefix) != branch.step - 1:
            raise ValueError(f"branch {branch.id} leaves at step {branch.step}, past its parent's end")
        self._branches[branch.id] = branch
        self._own[branch.id] = []
        self._paths[branch.id] = prefix
        self.current = branch.id

    def add(self, branch: int, record: StepRecord) -> None:
        """Appends a step. Raises ValueError where it isn't the branch's next one."""
        path = self._paths[branch]
        if record.step != len(path) + 1:
            raise ValueError(f"step {record.step} does not follow {len(path)} on branch {branch}")
        self._own[branch].append(record)
        path.append(record)

    def own(self, branch: int) -> list[StepRecord]:
        """The steps that only this branch has."""
        return self._own[branch]

    def path(self, branch: int | None = None) -> list[StepRecord]:
        """All steps from the start along a branch (the current one by default); not to be changed."""
        return self._paths[self.current if branch is None else branch]


def _takes(record: StepRecord, dense: object, pruned: object) -> bool:
    """Has the step taken these tokens, and chosen freely where None is given?"""
    if record.invalid is not None:
        return False  # a model that computed no token has taken none, on whichever text
    if record.taken_pruned is None:
        return record.taken is not None and record.taken.token_id in (dense, pruned)
    if record.taken is None:
        return record.taken_pruned.token_id == pruned
    return all(
        not taken.forced if wanted is None else taken.token_id == wanted
        for taken, wanted in ((record.taken, dense), (record.taken_pruned, pruned))
    )
