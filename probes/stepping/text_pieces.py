"""Reads a text that is known beforehand in large pieces: what both models say after each token of one is kept for the
steps to come.

A pass over 64 tokens takes a few times as long as one over a single token. A token is always read in the same piece,
however its step was reached and however many steps follow, so its figures are the same to the bit, and both models read
in the same pieces, so an exact copy differs by exactly 0. The first pieces are short: a run shows its first steps soon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probes.stepping.cached_model import NextTokenOutput

LONGEST = 64
"""Steps whose tokens are read at once."""


def piece_of(step: int) -> range:
    """The steps whose tokens are read together with that of a step: 1, then 2, 4, …, and from then on `LONGEST`."""
    begun = min(LONGEST, 1 << (step.bit_length() - 1))
    if begun == LONGEST:
        begun += (step - begun) // LONGEST * LONGEST
    return range(begun, begun + min(LONGEST, begun))


@dataclass(frozen=True, slots=True)
class ReadPiece:
    """What both models say after each of the last tokens of a context."""

    context: Sequence[int]
    dense: NextTokenOutput
    pruned: NextTokenOutput
    """One row for each of the last tokens."""

    def after(self, context: Sequence[int]) -> tuple[NextTokenOutput, NextTokenOutput] | None:
        """What they say after a beginning of the context; None if that was not kept."""
        size = len(context)
        row = size - len(self.context) + len(self.dense.logits) - 1
        if size > len(self.context) or row < 0 or self.context[:size] != context:
            return None
        return self.dense.rows(row, row + 1), self.pruned.rows(row, row + 1)
