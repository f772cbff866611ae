"""Notices when steps take far longer than the first ones did; torch-free."""

from __future__ import annotations

from collections import deque
from statistics import median

FEW = 5
"""Steps whose median is compared: the first few, without the very first, and the latest few."""
FAR = 4.0
"""How many times slower is far slower; a longer context alone takes many more steps to get there."""
SHORT = 1.0
"""Seconds that no step is called slow for."""


class Pace:
    """The seconds of one run's steps, in order."""

    def __init__(self) -> None:
        self._steps = 0
        self._first: list[float] = []
        self._latest: deque[float] = deque(maxlen=FEW)
        self._said = False

    def add(self, seconds: float) -> str:
        """A sentence, once a run, when the latest steps are far slower than the first ones; otherwise ""."""
        self._steps += 1
        if self._steps == 1:
            return ""  # it may have read the prompt
        if len(self._first) < FEW:
            self._first.append(seconds)
            return ""
        self._latest.append(seconds)
        before, now = median(self._first), median(self._latest)
        if self._said or len(self._latest) < FEW or now < SHORT or now < FAR * before:
            return ""
        self._said = True
        return (
            f"Steps take {now:.2g} s now, and the first ones took {before:.2g} s. If other programs use the processor, "
            "fewer threads can be faster: try --threads 1."
        )
