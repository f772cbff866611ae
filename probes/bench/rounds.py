"""Times several things in turn, so that what else the machine does affects all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from probes.system.progress import Work

LEAST_ROUNDS = 3
"""Rounds that are measured however long they take."""


def in_turn(
    timers: Mapping[str, Callable[[], float]], rounds: int, seconds: float, work: Work, task: str
) -> dict[str, list[float]]:
    """What each of the timers gives in each round. Every other round runs backwards, so that none always comes after
    the same other one; a first round is not counted."""
    found: dict[str, list[float]] = {name: [] for name in timers}
    begun = time.perf_counter()
    for number in range(rounds + 1):
        if number > LEAST_ROUNDS and time.perf_counter() - begun > seconds:
            break
        for name in list(timers) if number % 2 else reversed(list(timers)):
            found[name].append(timers[name]())
        work.report(task, number + 1, rounds + 1, "rounds")
    return {name: each[1:] for name, each in found.items()}
