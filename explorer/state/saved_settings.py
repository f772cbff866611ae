"""Prune settings kept under names of a person's own, from one sitting to the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from probes.schema.errors import Failure
from probes.system.files import replace_file
from probes.system.user_folders import CONFIG_VARIABLE, config_folder


class SavedSettings:
    """A small JSON file, name by name; read anew each time, as another window may have changed it."""

    @property
    def path(self) -> Path:
        """The file that holds them. It need not exist."""
        return config_folder() / "settings.json"

    def all(self) -> dict[str, str]:
        """Settings by name, the one kept last first. Raises `Failure` where the file can't be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as problem:
            raise Failure(
                "Saved settings", f"{self.path} can't be read: {problem}.", "Correct it, or move it away."
            ) from problem

    def name_of(self, setting: str) -> str:
        """The name it is kept under, or ""; also where nothing can be read."""
        try:
            return next((name for name, kept in self.all().items() if kept == setting), "")
        except Failure:
            return ""

    def save(self, name: str, setting: str) -> None:
        """Keeps a setting under a name, in place of what had that name. Raises `Failure` where that is not possible."""
        self._write({name: setting, **{other: kept for other, kept in self.all().items() if other != name}})

    def delete(self, name: str) -> None:
        """Keeps nothing under a name any more. Raises `Failure` where that is not possible."""
        self._write({other: kept for other, kept in self.all().items() if other != name})

    def _write(self, named: Mapping[str, str]) -> None:
        text = msgspec.json.format(msgspec.json.encode(named)).decode()
        try:
            replace_file(self.path, f"{text}\n")
        except OSError as problem:
            raise Failure(
                "Can't write",
                f"{self.path} could not be written ({problem.strerror}).",
                f"Free some space, or set {CONFIG_VARIABLE}.",
            ) from problem
