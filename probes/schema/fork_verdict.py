"""The course of the pruned model once the dense model's token is forced into it, and the reverse. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from probes.schema.bounds import Natural, NonNegative, Share, TokenString

FOLLOWED = 32
"""Steps that are followed after the forced token, unless another number is asked for."""
AGREE_RECOVERS = 0.75
AGREE_COLLAPSES = 0.4
"""The agreement of the two models from which a run recovers, and below which it collapses."""


class Recovery(StrEnum):
    """The verdict on a model after another one's token was forced into it."""

    RECOVERS = "recovers"
    DRIFTS = "drifts"
    COLLAPSES = "collapses"
    """The models hardly agree, the text ends in a loop, or a model computes NaN or infinity."""
    ENDS = "ends"
    """The forced token ends the text, so nothing follows."""


@dataclass(frozen=True, slots=True)
class ForkedRun:
    """One model, with the other one's token forced at the step, some steps on, against the other model on that text."""

    forced: TokenString
    """The forced token."""
    steps: Natural
    """Steps after the forced token that were taken."""
    agree_rate: Share
    """Of these steps, those at which both models' most likely token is the same."""
    kl: NonNegative
    """Mean KL(dense ‖ pruned) of these steps on the shared context."""
    kl_last: NonNegative
    """Mean KL of their last quarter."""
    repeats: bool
    """True if the text ends in a loop: the same few tokens again and again."""
    text: TokenString
    """The text from the forced token on; it begins with that token."""
    verdict: Recovery


@dataclass(frozen=True, slots=True)
class ForkVerdict:
    """Both directions of a fork at one step."""

    dense_into_pruned: ForkedRun
    pruned_into_dense: ForkedRun
    agree_recovers: Share = AGREE_RECOVERS
    """The agreement from which a run counts as recovering."""
    agree_collapses: Share = AGREE_COLLAPSES
    """The agreement below which it counts as collapsing, as a loop does."""
