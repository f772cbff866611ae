"""Sums at any step of a path are those of its first steps, added up from nothing."""

from __future__ import annotations

from explorer.bench.interface import long_path
from explorer.state.path_sums import EVERY, PathSums
from probes.schema.summary import summarise


def test_the_summary_at_every_step_is_that_of_the_steps_up_to_it() -> None:
    path = long_path(2 * EVERY + 40)
    sums = PathSums(path)
    for step in (0, 1, 17, EVERY - 1, EVERY, EVERY + 1, 2 * EVERY - 1, 2 * EVERY, len(path) - 1, len(path)):
        assert sums.at(step) == summarise(path[:step]), step


def test_looking_back_changes_nothing_for_later_steps() -> None:
    path = long_path(EVERY + 20)
    sums = PathSums(path[:EVERY])
    for record in path[EVERY:]:
        sums.at(EVERY - 3)
        sums.at(3)
        sums.add(record)
    assert sums.at(len(path)) == summarise(path)
    assert sums.at(EVERY + 10) == summarise(path[: EVERY + 10])
