"""The recordings that come with the program."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

DEMO_RECORDING = "collapse.jsonl"
"""The recording that `phier-tui --demo` plays."""


def shipped_folder() -> Path:
    """Their folder: `sessions/` of the source, wherever the installation has put it."""
    return Path(str(files("phier_sessions").joinpath(DEMO_RECORDING))).parent
