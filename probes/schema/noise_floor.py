"""The noise floor: each figure of an identical pair if only the arithmetic differs. Frozen data without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from probes.schema.bounds import Natural, NonNegative

MARGIN = "margin"
"""The name of the change of ln p(a) - ln p(b), where a and b are the two likeliest tokens."""
NUMBER_FORMATS = ("bfloat16", "float32")
"""The causes that change the number format. They are no part of the floor, because a pair runs in one format."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The dense model against itself, computed in another way."""

    cause: str
    """"bfloat16", "1 thread", "batch of 2", "eager attention"."""
    largest: Mapping[str, NonNegative]
    """The largest distance of each figure from its value for an exact copy, over the steps. By the figure's name in a
    record: of "p.kl" or "h.angle" from 0, of "h.cos" or "p.topk_overlap" from 1. "h.gap", "z.gap" and "p.gap" are
    1 - cosine (of z the centred one), as charts have it, "p.entropy" the change of the entropy, "margin" `MARGIN`."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The floor of each figure for this pair."""

    steps: Natural
    """Steps that were measured."""
    rows: tuple[Noise, ...]
    """The causes that this machine and these models allow."""
    skipped: Mapping[str, str]
    """The causes that were left out, and why."""
    own_dtype: str
    """The number format in which the pair runs."""

    def floor(self, figure: str) -> float:
        """The largest value among the causes that keep the pair's number format; 0 if none of them has the figure."""
        kept = (row.largest for row in self.rows if row.cause not in NUMBER_FORMATS)
        return max((largest.get(figure, 0.0) for largest in kept), default=0.0)
