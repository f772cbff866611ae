"""Decides by the steps of a run itself whether the dense model computes in a process of its own.

Threads cost nothing, so a pair begins in them, and a short run ends before anything was tried. A process wins if the
passes wait for Python's lock, and loses if it has to share the processor's caches or the memory. Which of the two is
so depends on the model, on the machine and on how many contexts the pruned model reads. So steps are read in both ways
in turn, the dense model's cache moving to and fro, and the medians are compared. The figures are the same to the bit in
both, so no step is read twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from probes.schema.spec import OverlapMode

THREADS, PROCESS = OverlapMode.THREADS, OverlapMode.PROCESS
TURNS: Sequence[tuple[OverlapMode, int, int]] = ((THREADS, 10, 6), (PROCESS, 2, 6), (THREADS, 1, 6), (PROCESS, 1, 6))
"""One after the other: the way, the steps that are not timed (a recipe is made, the cache has moved), and those that
are. The process begins after so many steps that a run which ends at once never pays for it."""
STEPS = sum(skipped + timed for _, skipped, timed in TURNS)
MOST_ROWS = 2
"""Stepping reads at most two contexts with one model."""
_GAIN = 0.97
"""A process is worth its memory if a step takes at most this part of the time that it takes in threads."""


class OverlapTrial:
    """The verdicts of one pair: one for each number of contexts that the pruned model reads."""

    def __init__(self) -> None:
        self._seconds: dict[int, list[float]] = {}
        self._verdicts: dict[int, OverlapMode] = {}
        self._news: list[str] = []

    @property
    def wants_process(self) -> bool:
        """Has any verdict chosen a process?"""
        return PROCESS in self._verdicts.values()

    def way(self, rows: int) -> OverlapMode:
        """How the next step is read."""
        if rows in self._verdicts:
            return self._verdicts[rows]
        return _place(len(self._seconds.get(rows, ())))[0]

    def took(self, rows: int, seconds: float) -> None:
        """Counts a step that was read as `way` said."""
        if rows in self._verdicts:
            return
        taken = self._seconds.setdefault(rows, [])
        taken.append(seconds)
        if len(taken) < STEPS:
            return
        of: dict[OverlapMode, list[float]] = {THREADS: [], PROCESS: []}
        for number, one in enumerate(taken):
            way, timed = _place(number)
            if timed:
                of[way].append(one)
        threads, process = median(of[THREADS]), median(of[PROCESS])
        self._verdicts[rows] = PROCESS if process <= _GAIN * threads else THREADS

    def end(self, why: str = "") -> None:
        """Stays in threads whatever is read. `why` says so in a sentence."""
        for rows in range(1, MOST_ROWS + 1):
            self._verdicts.setdefault(rows, THREADS)
        if why:
            self._news.append(why)

    def take_news(self) -> str:
        """What made it stay in threads, in sentences, since this was last asked."""
        news, self._news = self._news, []
        return " ".join(news)


def _place(number: int) -> tuple[OverlapMode, bool]:
    """The way in which a step of the trial is read, and whether it is timed."""
    for way, skipped, timed in TURNS:
        if number < skipped + timed:
            return way, number >= skipped
        number -= skipped + timed
    raise ValueError("the trial has no such step")
