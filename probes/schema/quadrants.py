"""Compute or memory: the KL of a step with either model's weights on either model's cache. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from probes.schema.bounds import Natural, NonNegative, TokenString

NO_DAMAGE = 0.01
"""Below this KL, in nats, a step has no damage that could be blamed on anything."""
BLAMED = 0.5
"""The share of the KL from which weights or cache alone do most of it."""


class Blame(StrEnum):
    """The source of the damage of a step."""

    COMPUTE = "compute"
    """Computing now: pruned weights on the dense cache do most of it."""
    MEMORY = "memory"
    """The cache that pruned layers wrote: dense weights that read it do most of it."""
    EITHER = "either"
    """Each does most of it alone."""
    BOTH = "both"
    """Neither does most of it alone, only the two together."""
    NONE = "none"
    """There is no damage at this step."""


@dataclass(frozen=True, slots=True)
class CachePosition:
    """One earlier position whose cache is the dense model's again, in all layers; all other positions stay pruned."""

    position: Natural
    """In the context, from 0."""
    token_id: Natural
    token: TokenString
    kl_after: NonNegative
    kl_drop: float
    """The drop of the pruned model's KL if this position is restored."""


@dataclass(frozen=True, slots=True)
class Quadrants:
    """KL(dense ‖ mixture) in nats at one step; with dense weights on the dense cache it is 0."""

    pruned_weights: NonNegative
    """Pruned weights on the dense cache: only what is computed now."""
    pruned_cache: NonNegative
    """Dense weights on the pruned cache: only what is remembered."""
    both: NonNegative
    """Pruned weights on the pruned cache: the pruned model as it runs."""
    blame: Blame
    positions: tuple[CachePosition, ...]
    """The largest drop first."""
    cached: Natural
    """Positions in the cache."""
    tried: Natural
    """How many of them were restored, one after another."""
    control: NonNegative = 0.0
    """Dense weights on a copy of the dense cache; anything but 0 is an error."""
