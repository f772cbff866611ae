"""The commands of `phier`, which a person may look for among the keys."""

from __future__ import annotations

SHELL_COMMANDS = (
    "run",
    "prompt",
    "explain",
    "repair",
    "tasks",
    "verdict",
    "sweep",
    "recommend",
    "score",
    "search",
    "prune",
    "inspect",
    "recordings",
    "compare",
    "export",
    "bench",
    "config",
    "doctor",
)
SHORTEST = 3
"""Letters from which on the beginning of a name stands for it."""


def commands_named(typed: str) -> list[str]:
    """The commands that a typed word is, or begins."""
    word = typed.strip().lower()
    return [name for name in SHELL_COMMANDS if len(word) >= SHORTEST and name.startswith(word)]
