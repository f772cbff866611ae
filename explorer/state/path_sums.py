"""The summary of a path that grows, up to its newest step or up to any earlier one."""

from __future__ import annotations

from collections.abc import Iterable

from probes.schema.record import StepRecord
from probes.schema.summary import Summary, Tally

EVERY = 256
"""Steps between two tallies that are kept: adding up as many takes a few milliseconds."""


class PathSums:
    """Keeps a tally now and then, so that the cursor moves through ten thousand steps without adding them all up."""

    def __init__(self, path: Iterable[StepRecord] = ()) -> None:
        self._path: list[StepRecord] = []
        self._newest = Tally()
        self._kept = [Tally()]
        """Of the first 0, `EVERY`, 2 · `EVERY` … steps."""
        for record in path:
            self.add(record)

    def add(self, record: StepRecord) -> None:
        """Adds the path's next step."""
        self._path.append(record)
        self._newest.add(record)
        if len(self._path) % EVERY == 0:
            self._kept.append(self._newest.copy())

    def at(self, step: int) -> Summary:
        """Everything that has accumulated over the first steps; 0 of them are none."""
        if step >= len(self._path):
            return self._newest.summary()
        tally = self._kept[step // EVERY].copy()
        for record in self._path[step - step % EVERY : step]:
            tally.add(record)
        return tally.summary()
