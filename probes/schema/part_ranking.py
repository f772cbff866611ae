"""The droppable parts of a model in order of how much they change the residual stream. Frozen data without torch."""

from __future__ import annotations

from dataclasses import dataclass

from probes.schema.bounds import Bounded, Natural
from probes.schema.part import Part


@dataclass(frozen=True, slots=True)
class RankedPart:
    """One part that still runs."""

    kind: str
    """"attn", "mlp" or "block"."""
    layer: Natural
    influence: Bounded
    """The mean over the calibration text of `probes.prune.importance`: smaller changes the stream less."""

    @property
    def part(self) -> Part:
        return Part(self.kind, self.layer)


@dataclass(frozen=True, slots=True)
class Ranking:
    """All parts of a kind that still run."""

    parts: tuple[RankedPart, ...]
    """The smallest influence first."""
