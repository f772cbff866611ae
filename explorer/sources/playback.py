"""What a source can do besides, where its steps were recorded: another speed, a loop, everything at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

PACES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Steps a second to choose from; as fast as they were measured stands among them, by the recording's own rate."""


@dataclass(frozen=True, slots=True)
class PlaySpeed:
    """How fast a recording plays."""

    chosen: float | None = None
    """Steps a second; None is as fast as they were measured."""
    measured: float = math.inf
    """The recording's median rate in steps a second; inf where no step was timed, so that none is waited for."""

    @property
    def rate(self) -> float:
        """Steps a second, whichever way it was chosen."""
        return self.measured if self.chosen is None else self.chosen


@runtime_checkable
class Playback(Protocol):
    """A recording that is played."""

    pace: PlaySpeed
    loop: bool
    """True begins again at the end."""

    @property
    def recorded_runs(self) -> list[tuple[int, str]]:
        """The runs of the file that have steps: each one's place, from 1, and what it is in a line."""

    @property
    def shown_run(self) -> int:
        """The place of the run that is shown."""

    def show_run(self, place: int) -> None:
        """Shows another run of the file."""

    def to_end(self) -> None:
        """Shows all that is left at once."""


def next_pace(pace: PlaySpeed, faster: bool) -> PlaySpeed:
    """The nearest pace that really is faster, or slower; where there is none it stays."""
    choices = [replace(pace, chosen=chosen) for chosen in (None, *PACES)]
    if faster:
        return min((one for one in choices if one.rate > pace.rate), key=_rate, default=pace)
    return max((one for one in choices if one.rate < pace.rate), key=_rate, default=pace)


def speed_in_words(playback: Playback) -> str:
    """Speed and loop in words."""
    pace = playback.pace.chosen
    speed = "as fast as measured" if pace is None else f"{pace:g} {'step' if pace == 1 else 'steps'} a second"
    return f"{speed}, over and over" if playback.loop else speed


def speed_in_brief(playback: Playback) -> str:
    """The speed in as few cells as it takes."""
    pace = playback.pace.chosen
    return "as measured" if pace is None else f"{pace:g} steps/s" if pace != 1 else "1 step/s"


def _rate(pace: PlaySpeed) -> float:
    return pace.rate
