"""Margins of the two tokens at a split, and which sublayers moved them. Frozen data without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from probes.schema.bounds import Bounded, Natural, NonNegative, Place, Share, TokenString

NEAR_TIE = math.log(2)
"""A split is a near-tie if the margin of the dense model, in nats, is below this: its token is less than twice as
likely as the other."""


class SplitVerdict(StrEnum):
    """The kind of a split."""

    NEAR_TIE = "near-tie"
    """The dense model itself hardly prefers its token."""
    CONFIDENT_FLIP = "confident flip"
    """The dense model clearly prefers its token, and the pruned model another one."""
    NUMERICAL = "numerical"
    """Below the noise floor: an identical model would differ as much with other threads, another batch width or another
    attention kernel."""


@dataclass(frozen=True, slots=True)
class Rival:
    """One of the two tokens, in both models."""

    token_id: Natural
    token: TokenString
    p: Share
    """Of the dense model."""
    q: Share
    """Of the pruned model."""
    z_dense: Bounded
    z_pruned: Bounded
    rank_dense: Place
    rank_pruned: Place


@dataclass(frozen=True, slots=True)
class MarginPart:
    """The term that a part of the stream adds to z(a) - z(b), through the final norm, its scale held, and the head."""

    layer: Natural | None
    """None for the embedding."""
    sublayer: str
    """"attn", "mlp", or "embedding"; "head" is what head and final norm add by themselves (a bias, a soft-cap)."""
    dense: Bounded
    pruned: Bounded

    @property
    def change(self) -> float:
        """How far pruning moved the margin here; negative is towards the pruned model's token."""
        return self.pruned - self.dense


@dataclass(frozen=True, slots=True)
class SplitAnatomy:
    """A split, or any step: the dense model's token a against the pruned model's token b."""

    a: Rival
    """The dense model's token."""
    b: Rival
    """The pruned model's token; if both choose the same, the pruned model's second."""
    margin_dense: Bounded
    """ln p(a) - ln p(b) at the analysis temperature; not negative at a split of greedy runs."""
    margin_pruned: Bounded
    """ln q(a) - ln q(b); negative if the pruned model prefers b."""
    entropy_dense: NonNegative
    entropy_pruned: NonNegative
    parts: tuple[MarginPart, ...]
    """In the order of the stream. Their sums are z(a) - z(b) of each model. Empty if the logits can't be split."""
    verdict: SplitVerdict | None
    """None if both models choose the same token."""
    floor: NonNegative = 0.0
    """The noise floor of the margin that the verdict was judged by; 0 if it was not measured."""
    notes: tuple[str, ...] = ()
    """Sentences about the parts: what "head" holds, or why there are none."""

    @property
    def sampled(self) -> bool:
        """Was a token drawn that its own model does not find likeliest?"""
        return self.verdict is not None and (self.a.rank_dense > 1 or self.b.rank_pruned > 1)

    @property
    def change(self) -> float:
        """How far pruning moved the margin, in nats; negative is towards the pruned model's token."""
        return self.margin_pruned - self.margin_dense
