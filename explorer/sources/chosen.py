"""Chooses a run of a recording: FILE means its last run that has steps, FILE#2 its second run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from probes.recording import Recording, read

_NUMBERED = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recording, or one run of it."""

    path: Path
    run: int | None = None
    """Its place among the runs of the file, from 1; None is the last one that has steps."""

    def __str__(self) -> str:
        return str(self.path) if self.run is None else f"{self.path}#{self.run}"

    @property
    def stem(self) -> str:
        """The name, without an ending, of files made from it."""
        return self.path.stem if self.run is None else f"{self.path.stem}-run{self.run}"


def chosen(what: Chosen | Path | str) -> Chosen:
    """The recording that a person named. If a file has exactly this name, the file is meant, not a run of another."""
    if isinstance(what, Chosen):
        return what
    found = _NUMBERED.fullmatch(str(what))
    if found is None or Path(what).exists():
        return Chosen(Path(what))
    return Chosen(Path(found[1]), int(found[2]))


def read_recording(
    what: Chosen | Path | str, watch: Callable[[int], None] | None = None, *, tables: bool = True
) -> Recording:
    """Reads the recording (as `read` does) and chooses the run. Raises `BadInput` if there is no such file or run."""
    which = chosen(what)
    recording = read(which.path, watch, tables=tables)
    if which.run is not None:
        recording.choose(which.run)
    return recording
