"""The speeds at which a recording can be played, and how they are shown."""

from __future__ import annotations

from probes.schema.events import PlaybackChanged

SPEEDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Steps a second to choose from, besides the speed at which the steps were measured."""


def next_speed(playback: PlaybackChanged, faster: bool) -> float | None:
    """The nearest speed that is faster than the present one, or slower; the present one if there is none.

    In steps a second; None is as fast as the steps were measured.
    """

    def rate(speed: float | None) -> float:
        return playback.measured if speed is None else speed

    present = rate(playback.speed)
    choices = (None, *SPEEDS)
    if faster:
        return min((one for one in choices if rate(one) > present), key=rate, default=playback.speed)
    return max((one for one in choices if rate(one) < present), key=rate, default=playback.speed)


def speed_in_words(playback: PlaybackChanged) -> str:
    """Speed and loop in words."""
    speed = playback.speed
    words = "as fast as measured" if speed is None else f"{speed:g} {'step' if speed == 1 else 'steps'} a second"
    return f"{words}, over and over" if playback.loop else words


def speed_in_brief(playback: PlaybackChanged) -> str:
    """The speed in as few cells as possible."""
    speed = playback.speed
    return "as measured" if speed is None else f"{speed:g} steps/s" if speed != 1 else "1 step/s"
