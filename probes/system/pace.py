"""Notices if steps become far slower than the first ones. Free of torch."""

from __future__ import annotations

from collections import deque
from statistics import median

_FEW = 5
"""How many steps each median is of: the first ones, without the very first, and the latest ones."""
_FAR = 4.0
"""The factor that counts as far slower; a longer context alone reaches it only after many more steps."""
_SHORT = 1.0
"""Steps below so many seconds are never called slow."""


class SlowdownWatch:
    """The seconds of one run's steps, in order."""

    def __init__(self) -> None:
        self._steps = 0
        self._first: list[float] = []
        self._latest: deque[float] = deque(maxlen=_FEW)
        self._said = False

    def add(self, seconds: float) -> str:
        """A sentence, once a run, when the latest steps are far slower than the first ones; otherwise ""."""
        self._steps += 1
        if self._steps == 1:
            return ""  # it may have read the prompt
        if len(self._first) < _FEW:
            self._first.append(seconds)
            return ""
        self._latest.append(seconds)
        before, now = median(self._first), median(self._latest)
        if self._said or len(self._latest) < _FEW or now < _SHORT or now < _FAR * before:
            return ""
        self._said = True
        return (
            f"Steps take {now:.2g} s now, and the first ones took {before:.2g} s. If other programs use the processor, "
            "fewer threads can be faster: try --threads 1."
        )
