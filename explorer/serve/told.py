"""What the server tells the process of a tab, in a variable of its environment: nobody else can read that."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import msgspec

from explorer.config.screen_options import SCREEN_DEFAULTS, ScreenOptions

VARIABLE = "PHIER_TAB"
TOKEN_VARIABLE = "PHIER_SERVE_TOKEN"
"""Holds the token, so that no list of processes shows it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a tab shows, and the folders that it may use."""

    folder: str
    """The recordings: listed, and written into."""
    allowed: tuple[str, ...] = ()
    """More folders that a path may lead into."""
    readable: tuple[str, ...] = ()
    """Places that may be read only."""
    shipped: bool = True
    """Are the recordings that come with the program listed, too?"""
    recording: str = ""
    """The recording that it begins with; "" begins with the list, or with a run of the models."""
    number: int | None = None
    demo: bool = False
    play: bool = False
    speed: float | None = None
    loop: bool = False
    tour: bool = False
    look: ScreenOptions = SCREEN_DEFAULTS
    models: str = ""
    """Where the process with the models listens; "" if there is none."""
    key: str = ""
    """What that process must be shown, in hex."""
    live: bool = False
    """Does it begin with a run of the models?"""
    keymap: dict[str, str] = field(default_factory=dict)


def environment(told: Told) -> dict[str, str]:
    """The environment of a tab's process: the server's, without its token."""
    inherited = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    return {**inherited, VARIABLE: msgspec.json.encode(told).decode()}


def told_here() -> Told:
    """What this process was told."""
    return msgspec.json.decode(os.environ.pop(VARIABLE), type=Told)
