"""Two models whose layers can't be set against one another, each taken apart on its own.

Nothing can be exchanged between them, but each has a residual stream of its own. Streams of one width can be compared,
and each be read through its own model's final norm and head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedModel

from probes.explain.sublayers import NotAligned, Sublayers, take_apart
from probes.schema.part import Part


@dataclass(frozen=True, eq=False)
class Unaligned:
    """Two models of different shapes."""

    dense: Sublayers
    """The dense model and itself."""
    pruned: Sublayers
    """The pruned model and itself."""
    why: str
    """What has no counterpart, and in which layer."""

    @cached_property
    def counterparts(self) -> tuple[Part, ...]:
        """For every sublayer of the dense model, that of the pruned one at the same share of its depth. The last one's
        is the last."""
        layers = [block.layer for block in self.pruned.anatomy.blocks]
        count = len(self.dense.anatomy.blocks)
        return tuple(
            Part(part.kind, layers[-(-(place // 2 + 1) * len(layers) // count) - 1])
            for place, part in enumerate(self.dense.parts)
        )

    @property
    def same_depth(self) -> bool:
        """Does every sublayer have one of its own beside it?"""
        return len(self.dense.parts) == len(self.pruned.parts)

    @property
    def refused(self) -> NotAligned:
        """The error of what needs an exchange."""
        return NotAligned(self.why)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of the figures must know."""
        beside = "each sublayer stands beside the one at its place"
        if not self.same_depth:
            ours, theirs = (len(one.anatomy.blocks) for one in (self.dense, self.pruned))
            beside = (
                f"each of the dense model's {ours} layers stands beside the one at the same share of the other's "
                f"{theirs}, so a deviation between the ends is partly one of place"
            )
        note = (
            f"{self.refused.message} Lenses and accumulated deviation are of each model's own run: {beside}. "
            "There is no deviation on the same input, and nothing can be exchanged."
        )
        return tuple(dict.fromkeys((note, *self.dense.notes, *self.pruned.notes)))


def take_apart_or_alone(dense: PreTrainedModel, pruned: PreTrainedModel) -> Sublayers | Unaligned:
    """Both models' sublayers; each model's own if they are not of one shape. Raises `BadInput` if sublayers can't be
    told apart."""
    try:
        return take_apart(dense, pruned)
    except NotAligned as problem:
        return Unaligned(take_apart(dense, dense), take_apart(pruned, pruned), problem.why)
