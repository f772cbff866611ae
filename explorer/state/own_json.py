"""Writes what a person keeps in the config folder, as JSON that can be read and corrected."""

from __future__ import annotations

from pathlib import Path

import msgspec

from probes.schema.errors import Failure
from probes.system.files import replace_file
from probes.system.user_folders import CONFIG_VARIABLE


def write_own_json(path: Path, value: object) -> None:
    """Puts a value into a file, whole or not at all. Raises `Failure`."""
    try:
        replace_file(path, f"{msgspec.json.format(msgspec.json.encode(value)).decode()}\n")
    except OSError as problem:
        raise Failure(
            "Can't write",
            f"{path} could not be written ({problem.strerror}).",
            f"Free some space, or set {CONFIG_VARIABLE}.",
        ) from problem
