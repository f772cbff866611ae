"""Files and folders that are there whole or not at all: written beside their place, and moved into it once complete."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PART = ".part-"
_LONGEST = 100
"""Characters of a place's name in that of the folder beside it."""


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """Yields a path of the same name to write a file or a folder at, which takes its place when the block ends.

    Until then, a reader finds what was there before. If the block raises, that stays, and what was written is removed.
    The content reaches the disk before it is moved, so that a power cut leaves the old or the new one, never half.
    Raises OSError if the disk refuses.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=_prefix(place), dir=place.parent))
    try:
        part = beside / place.name
        yield part
        for written in sorted(part.iterdir()) if part.is_dir() else [part]:
            _sync(written)
        part.replace(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def replace_file(path: Path, text: str) -> None:
    """Writes a small file that only its user reads, as a whole. Raises OSError if the disk refuses."""
    with replacing(path) as part:
        part.touch(0o600)
        part.write_text(text, "utf-8")


def remove_leftovers(place: Path) -> None:
    """Removes what killed programs left beside a place. Only the holder of the place's lock may call this."""
    for left in place.parent.glob(f"{glob.escape(_prefix(place))}*"):
        shutil.rmtree(left)


def place_of(path: Path) -> Path:
    """The place that a path is beside, if it is one of these; otherwise the path itself. Long names are cut."""
    hidden, part, _ = path.name.rpartition(_PART)
    return path.with_name(hidden[1:]) if part and hidden.startswith(".") else path


def _prefix(place: Path) -> str:
    return f".{place.name[:_LONGEST]}{_PART}"


def _sync(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
