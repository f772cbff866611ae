"""The levels in which a KL is shown, by colour, underline and weight, on the screen and in exports."""

from __future__ import annotations

from bisect import bisect_right

KL_BOUNDS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""The lower bounds of the ramp's levels, in nats; level 0 is below the first."""
UNDERLINED, BOLD = 4, 6
"""From these levels on a token is underlined (0.25 nat), then bold as well (1 nat)."""


def level(kl: float | None) -> int | None:
    """The ramp's level of a KL: the highest for an infinite one, None if there is none."""
    return None if kl is None or kl != kl else bisect_right(KL_BOUNDS, kl)
