"""The files that the program has left in the user's default folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import platformdirs


def written(user: Path) -> list[str]:
    """Recordings below the stand-in for the user's folder; they are removed, so that one test alone fails."""
    found = []
    for folder in user.glob("*/phier"):
        found += [str(path.relative_to(user)) for path in sorted(folder.rglob("*")) if path.is_file()]
        shutil.rmtree(folder)
    return found


def settings() -> int:
    """When the user's own file of settings was last written; 0 if there is none."""
    try:
        return (platformdirs.user_config_path("phier", appauthor=False) / "settings.json").stat().st_mtime_ns
    except OSError:
        return 0
