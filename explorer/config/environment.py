"""Environment variables that win over the config file, as the options of the command line win over both."""

from __future__ import annotations

import os
from typing import Any

from explorer.config.config_file import read_config
from explorer.config.screen_options import GlyphSet, Motion, ThemeChoice
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.nearest import did_you_mean

CHOICE_VARIABLES = {"PHIER_THEME": ("theme", ThemeChoice), "PHIER_GLYPHS": ("glyphs", GlyphSet)}
MOTION_VARIABLE, TEXTUAL_VARIABLE = "PHIER_REDUCED_MOTION", "TEXTUAL_ANIMATIONS"


def environment_options() -> dict[str, Any]:
    """Options that the environment sets. Raises `BadInput` for a value that is not known."""
    found: dict[str, Any] = {}
    for variable, (name, kind) in CHOICE_VARIABLES.items():
        if value := os.environ.get(variable):
            choices = [str(one.value) for one in kind]
            if value not in choices:
                message = f"{variable} is {visible(value, 60)}."
                raise BadInput("Environment", message, f"{did_you_mean(value, choices)}Use {', '.join(choices)}.")
            found[name] = value
    asked = os.environ.get(MOTION_VARIABLE)
    if asked:
        found["motion"] = str(Motion.FULL if asked == "0" else Motion.REDUCED)
    elif os.environ.get(TEXTUAL_VARIABLE, "").lower() == "none":
        found["motion"] = str(Motion.REDUCED)
    return found


def motion_is_reduced() -> bool:
    """Did a person ask for reduced motion, in the environment or else in the config file?"""
    try:
        asked = environment_options().get("motion")
    except BadInput:  # about the looks of the explorer, which says it
        asked = None
    return (asked or read_config().values.get("motion")) == Motion.REDUCED


def yielding(values: dict[str, Any], typed: dict[str, Any]) -> dict[str, Any]:
    """The values of the config file that what was typed, and the environment, leave in force."""
    left = {name: value for name, value in values.items() if name not in typed}
    for name, others in _EXCLUDE.items():
        if name in typed:
            for other in others:
                left.pop(other, None)
    if typed.get("follow") == "text" or (left.get("follow") == "text" and "follow" not in typed):
        left.pop("prompt", None)  # a text to score has no default prompt before it
    if os.environ.get("OMP_NUM_THREADS"):
        left.pop("threads", None)
    return left


_EXCLUDE = {
    "prune": ("pruned",),
    "pruned": ("prune",),
    "raw": ("chat_template", "template_arg"),
    "chat_template": ("raw",),
    "template_arg": ("raw",),
    "device": ("device_map", "max_memory"),
    "device_map": ("device",),
}
"""Options of the file that an option on the command line leaves without a place."""
