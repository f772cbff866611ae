"""The files that the program has left in the user's default folders."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import platformdirs

from probes.system.user_folders import cache_folder


def written(user: Path) -> list[str]:
    """Recordings below the stand-in for the user's folder; they are removed, so that one test alone fails."""
    found = []
    for folder in user.glob("*/phier"):
        found += [str(path.relative_to(user)) for path in sorted(folder.rglob("*")) if path.is_file()]
        shutil.rmtree(folder)
    return found


DEMO_FOLDERS = ("demo", "models", "digests")
"""Folders of the cache in which the demo model is: as downloaded, as converted, and the hashes of its files."""


def cache_of_tests(folder: Path) -> Path:
    """A cache folder whose demo model is the user's."""
    user = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name in DEMO_FOLDERS:
        with suppress(OSError):  # there already, or a cache that can't be written: the tests then fetch their own
            (user / name).mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(user / name, target_is_directory=True)
    return folder


def settings() -> int:
    """When the user's own file of settings was last written; 0 if there is none."""
    try:
        return (platformdirs.user_config_path("phier", appauthor=False) / "settings.json").stat().st_mtime_ns
    except OSError:
        return 0
