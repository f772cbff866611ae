"""Prune settings that a person has saved under names, from one sitting to the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from explorer.state.own_json import write_own_json
from probes.schema.errors import Failure
from probes.schema.prune_setting import BadSetting, Setting, parse
from probes.system.user_folders import config_folder


class SavedSettings:
    """A small JSON file of names and settings, read again each time because another window may have changed it."""

    @property
    def path(self) -> Path:
        """The file that holds them. It need not exist."""
        return config_folder() / "settings.json"

    def all(self) -> dict[str, str]:
        """The settings' texts by name, the one saved last first. Raises `Failure` if the file can't be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as problem:
            raise Failure(
                "Saved settings", f"{self.path} can't be read: {problem}.", "Correct it, or move it away."
            ) from problem

    def name_of(self, setting: Setting) -> str:
        """The name it is saved under, or ""; also if the file can't be read."""
        try:
            return next((name for name, text in self.all().items() if canonical(text) == str(setting)), "")
        except Failure:
            return ""

    def names(self) -> dict[str, str]:
        """The name saved last by each setting's text. Raises `Failure` if the file can't be read."""
        names: dict[str, str] = {}
        for name, text in self.all().items():
            names.setdefault(canonical(text), name)
        return names

    def save(self, name: str, setting: Setting) -> None:
        """Saves a setting under a name, in place of what had that name. Raises `Failure` if that is not possible."""
        self._write({name: str(setting), **{other: text for other, text in self.all().items() if other != name}})

    def delete(self, name: str) -> None:
        """Deletes a name. Raises `Failure` if that is not possible."""
        self._write({other: text for other, text in self.all().items() if other != name})

    def _write(self, named: Mapping[str, str]) -> None:
        write_own_json(self.path, named)


def canonical(text: str) -> str:
    """A setting as the program writes it; unchanged if it can't be read, so that it is listed and can be corrected."""
    try:
        return str(parse(text))
    except BadSetting:
        return text
