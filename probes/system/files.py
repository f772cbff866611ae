"""Writes files and folders as a whole or not at all: beside their place first, then moved into it."""

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
"""How many characters of a place's name are in the name of the folder beside it."""


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
    """Yields a path for a file or folder, which is moved to `place` when the block ends.

    Until then, readers find the old content. If the block raises, the old content stays and the new one is removed. The
    content is synced before the move, so that a power cut leaves the old or the new one, never a part. Raises OSError
    if it can't be written.
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
    """Writes a small file, readable by its user only, as a whole. Raises OSError if it can't be written."""
    with replacing(path) as part:
        part.touch(0o600)
        part.write_text(text, "utf-8")


def remove_leftovers(place: Path) -> None:
    """Removes files that killed programs left beside a place. Only the holder of the place's lock may call this."""
    for left in place.parent.glob(f"{glob.escape(_prefix(place))}*"):
        shutil.rmtree(left)


def place_of(path: Path) -> Path:
    """The place of a path that `replacing` yielded, with long names cut; any other path unchanged."""
    hidden, part, _ = path.name.rpartition(_PART)
    return path.with_name(hidden[1:]) if part and hidden.startswith(".") else path


def _prefix(place: Path) -> str:
    return f".{place.name[:_LONGEST]}{_PART}"


def _sync(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
