"""The axis of steps that all charts and the strip share: which cell a step is in, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

LEAST_STEPS = 16
"""A young run is drawn as if it had this many, so that its first points don't fill the chart."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Steps `first` to `last`, both shown, stretched or squeezed into any number of cells."""

    first: int
    last: int

    @classmethod
    @lru_cache(64)
    def of(cls, steps: int) -> Axis:
        """An axis for all steps and up to a sixteenth more, so that it seldom changes while a run grows."""
        steps = max(steps, LEAST_STEPS)
        chunk = 2 ** max(0, steps.bit_length() - 5)
        return cls(1, -(-steps // chunk) * chunk)

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def has(self, step: int) -> bool:
        return self.first <= step <= self.last

    def cell(self, step: int, width: int) -> int:
        """The cell that holds the step's middle."""
        return int((step - self.first + 0.5) * width / self.count)

    def step(self, cell: int, width: int) -> int:
        """The step of a cell: the first step in it, or the step that covers it."""
        cell = max(0, min(cell, width - 1))
        if self.count > width:
            return self.first + self.slice(cell, width)[0]
        return self.first + int((cell + 0.5) * self.count / width)

    def slice(self, cell: int, width: int) -> tuple[int, int]:
        """The steps whose middle is in the cell, as offsets from `first`: from, and one past the end."""
        scale = self.count / width
        start, stop = math.ceil(cell * scale - 0.5), math.ceil((cell + 1) * scale - 0.5)
        return max(0, start), min(self.count, stop)
