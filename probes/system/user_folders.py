"""The folders of the program's user: downloads, recordings, saved settings. An environment variable moves each of them.

They need not exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from probes.system.fence import inside

CACHE_VARIABLE, RECORDINGS_VARIABLE, CONFIG_VARIABLE = "PHIER_CACHE", "PHIER_RECORDINGS", "PHIER_CONFIG"
EARLIER_VARIABLE = "PHIER_SESSIONS"
"""The earlier name of `PHIER_RECORDINGS`."""


def cache_folder() -> Path:
    """The cache: downloads, conversions and kept prunings, all of which can be made again."""
    return _folder(CACHE_VARIABLE, lambda: _platform().user_cache_path("phier", appauthor=False))


def recordings_folder() -> Path:
    """The user's recordings."""
    variable = RECORDINGS_VARIABLE if os.environ.get(RECORDINGS_VARIABLE) else EARLIER_VARIABLE
    return _folder(variable, lambda: _platform().user_data_path("phier", appauthor=False) / "sessions")


def config_folder() -> Path:
    """Saved settings."""
    return _folder(CONFIG_VARIABLE, lambda: _platform().user_config_path("phier", appauthor=False))


def _platform() -> ModuleType:
    import platformdirs  # only if no variable names the folder

    return platformdirs


def _folder(variable: str, default: Callable[[], Path]) -> Path:
    named = os.environ.get(variable)
    return _at_home(named) if named else default()


def expanded(name: str | Path) -> Path:
    """The path that a person typed, with the home folder in place of `~`; as it is if it names an unknown user.

    Raises `BadInput` if it is not allowed here (`probes.system.fence`).
    """
    return inside(_at_home(name))


def _at_home(name: str | Path) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def shortened(name: str | Path) -> str:
    """The path with `~` in place of the home folder."""
    path = Path(name)
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (RuntimeError, ValueError):
        return str(path)
