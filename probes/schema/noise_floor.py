"""What an identical pair gives for each figure if only the arithmetic differs. Frozen data without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noise:
    """The dense model against itself, computed in another way."""

    cause: str
    """"bfloat16", "1 thread", "batch of 2", "eager attention"."""
    largest: Mapping[str, float]
    """The largest value of each figure over the steps, by its name in a record, such as "p.kl" or "h.1-cos"."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The floor of each figure for this pair."""

    steps: int
    """Steps that were measured."""
    rows: tuple[Noise, ...]
    """The causes that this machine and these models allow."""
    skipped: Mapping[str, str]
    """The causes that were left out, and why."""
    own_dtype: str
    """The number format in which the pair runs."""

    def floor(self, figure: str) -> float:
        """The largest value among the causes that keep the pair's number format; 0 if none of them has the figure."""
        return max((row.largest.get(figure, 0.0) for row in self.rows if row.cause != "bfloat16"), default=0.0)
