"""The tree of a run's paths: forking opens a branch, and earlier branches stay unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probes.schema.bounds import Natural, Place
from probes.schema.record import StepRecord


@dataclass(frozen=True, slots=True)
class Branch:
    """The step at which a path left its parent, and the tokens forced there."""

    id: Natural
    parent: Natural | None
    """None for the first path of a run."""
    step: Place
    """The branch's first own step; the steps before it are the parent's."""
    dense: Natural | None = None
    """Token id forced on the dense model at that step; on both models if they share one context."""
    pruned: Natural | None = None
    """Token id forced on the pruned model's own context (`free`)."""
    label: str = ""
    """The text in the list of branches: "“ half” forced at 3"."""


class Branches:
    """All branches of one run, their records, and the current branch."""

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
        """The branch that equals the current path before this step and took these tokens at it.

        `dense` and `pruned` are the token ids that a fork would force. If both models share one context, either of the
        two is its token. None if no branch took these tokens, or if a token is given by its text.
        """
        before = self._paths[self.current][: step - 1]
        for branch in sorted(self._paths, key=lambda one: one != self.current):
            path = self._paths[branch]
            if len(path) >= step and path[: step - 1] == before and _takes(path[step - 1], dense, pruned):
                return branch
        return None

    def open(self, branch: Branch) -> None:
        """Adds a branch and makes it current. Raises ValueError if its id exists or its parent does not."""
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
        """Appends a step. Raises ValueError if it is not the branch's next one."""
        path = self._paths[branch]
        if record.step != len(path) + 1:
            raise ValueError(f"step {record.step} does not follow {len(path)} on branch {branch}")
        self._own[branch].append(record)
        path.append(record)

    def own(self, branch: int) -> list[StepRecord]:
        """The steps that only this branch has."""
        return self._own[branch]

    def owner(self, step: int, branch: int | None = None) -> int:
        """The branch that a step along a branch (the current one by default) was measured on."""
        one = self._branches[self.current if branch is None else branch]
        while one.parent is not None and step < one.step:
            one = self._branches[one.parent]
        return one.id

    def path(self, branch: int | None = None) -> list[StepRecord]:
        """All steps from the start along a branch (the current one by default); not to be changed."""
        return self._paths[self.current if branch is None else branch]


def _takes(record: StepRecord, dense: object, pruned: object) -> bool:
    """Did the step take these tokens, and was a token that is None not forced?"""
    if record.invalid is not None:
        return False  # a model that computed no token took none
    if record.taken_pruned is None:
        return record.taken is not None and record.taken.token_id in (dense, pruned)
    if record.taken is None:
        return record.taken_pruned.token_id == pruned
    return all(
        not taken.forced if wanted is None else taken.token_id == wanted
        for taken, wanted in ((record.taken, dense), (record.taken_pruned, pruned))
    )
