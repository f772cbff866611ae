"""Converts a line of an older recording to the next format, as plain data.

A file is upgraded line by line while it is read, so its size does not matter. The figures stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from probes.recording.old_pauses import pause_of

FORMAT = 2
"""The number of the written format. It grows only if older versions would misread a line."""

_RENAMED = {"local": "shared", "kl_local": "kl_shared"}
_SUM = re.compile(r"\A\s*sum\.kl(?=\s*[<>])")


def _second(line: dict[str, Any]) -> dict[str, Any]:
    """From 1: `shared` was called `local`, a condition on `sum.kl` tested the shared sum, pauses were sentences."""
    if line.get("kind") == "header":
        return {**line, "format": 2}
    if line.get("kind") == "resumed" and isinstance(line.get("until"), list):
        return {**line, "until": [_condition(text) for text in line["until"]]}
    if line.get("kind") == "paused":
        return pause_of(line)
    if line.get("kind") != "step":
        return line
    step = _renamed(line)
    if isinstance(step.get("sum"), dict):
        step["sum"] = _renamed(step["sum"])
    if isinstance(step.get("nonfinite"), dict):
        paths = step["nonfinite"].items()
        step["nonfinite"] = {".".join(_RENAMED.get(key, key) for key in path.split(".")): text for path, text in paths}
    return step


def _condition(text: object) -> object:
    return _SUM.sub("sum.kl_shared", text) if isinstance(text, str) else text


def _renamed(node: dict[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in node.items()}


UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _second}
"""By the number of an older format: the function that converts one of its lines to the next format."""

OLDEST = min(UPGRADES)
"""The format of lines whose header is lost. They leave a newer line as it is, except a condition on `sum.kl`."""


def upgraded(line: dict[str, Any], version: int) -> dict[str, Any]:
    """The line in the present format. Raises ValueError if its format is older than the oldest that is known."""
    if version < OLDEST:
        raise ValueError(f"its format, {version}, is unknown")
    for older in range(version, FORMAT):
        line = UPGRADES[older](line)
    return line
