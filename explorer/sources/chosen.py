"""Which run of a recording is meant: FILE is the last one that has steps, FILE#2 its second run."""

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
        """What files made of it are called."""
        return self.path.stem if self.run is None else f"{self.path.stem}-run{self.run}"


def chosen(what: Chosen | Path | str) -> Chosen:
    """What a person named. A file that is called so is meant before a run of another."""
    if isinstance(what, Chosen):
        return what
    found = _NUMBERED.fullmatch(str(what))
    if found is None or Path(what).exists():
        return Chosen(Path(what))
    return Chosen(Path(found[1]), int(found[2]))


def read_recording(what: Chosen | Path | str, watch: Callable[[int], None] | None = None) -> Recording:
    """The recording with that run as the one that is meant. Raises `BadInput` where there is no such file or run."""
    which = chosen(what)
    recording = read(which.path, watch)
    if which.run is not None:
        recording.choose(which.run)
    return recording
