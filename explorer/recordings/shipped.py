"""The recordings that come with the program."""

from __future__ import annotations

from functools import cache
from pathlib import Path

DEMO_RECORDING = "collapse.jsonl"
"""The recording that `phier-tui --demo` plays."""
TOUR_RECORDING = "tour/tour.jsonl"
"""The recording of `phier-tui --tour` where there are no models. It holds what explains its worst step."""
TOUR_PACE = 6.0
"""Steps a second at which it plays: as it was measured, it would hold a talk up."""


def shipped_folder() -> Path:
    """The folder of the shipped recordings: in the package if it was built, beside it in the source."""
    package = Path(__file__).parents[1]
    built = package / "sessions"
    return built if built.is_dir() else package.parent / "sessions"


@cache
def is_shipped(path: Path) -> bool:
    """Does a recording come with the program?"""
    return shipped_folder() in path.parents


COMES_WITH = "comes with phier"
"""In place of a person's own date."""
