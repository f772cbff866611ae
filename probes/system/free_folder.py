"""Checks that a folder can be written as a new one."""

from __future__ import annotations

from pathlib import Path

from probes.schema.errors import BadInput
from probes.schema.foreign_text import said


def check_free(folder: Path) -> None:
    """Raises `BadInput` unless the folder is new or empty."""
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            return
        taken = folder.exists() or folder.is_symlink()
    except OSError as problem:
        raise BadInput("Folder", f"{folder} can't be used: {said(problem)}", "Name another folder.") from problem
    if taken:
        raise BadInput("Folder is taken", f"{folder} is not empty.", "Name a new or empty folder.")
