"""What a source can do besides, where its steps were recorded: another speed, a loop, everything at once."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

PACES: tuple[float | None, ...] = (None, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Steps a second to choose from; None is as fast as they were measured."""


@runtime_checkable
class Playback(Protocol):
    """A recording that is played."""

    pace: float | None
    """Steps a second; None is as they were measured."""
    loop: bool
    """True begins again at the end."""

    def to_end(self) -> None:
        """Shows all that is left at once."""


def next_pace(pace: float | None, faster: bool) -> float | None:
    """The next of `PACES`; beyond the ends it stays."""
    place = min(range(len(PACES)), key=lambda at: abs((PACES[at] or 0.0) - (pace or 0.0)))
    return PACES[max(0, min(len(PACES) - 1, place + (1 if faster else -1)))]


def told(playback: Playback) -> str:
    """Speed and loop in words."""
    speed = "as fast as measured" if playback.pace is None else f"{playback.pace:g} steps a second"
    return f"{speed}, over and over" if playback.loop else speed
