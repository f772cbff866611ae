"""Keeps the sums of an interrupted scoring run beside its results, so that the next run goes on where it stopped.

The sums are those after some whole chunk of windows, in float64, and the windows after them are read in the chunks that
an uninterrupted run has: the results are the same to the bit.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from probes.schema.errors import Failure
from probes.system.files import replacing
from probes.tasks.score_tally import ScoreTally

EVERY = 10.0
"""Seconds between two times that the sums are written."""


class ScoreCheckpoint:
    """The file `RESULTS.part`, of one run: `identity` is all that determines its figures, as plain data."""

    def __init__(self, results: Path, identity: Mapping[str, Any]) -> None:
        self.path = results.with_name(f"{results.name}.part")
        self._mark = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self._written = time.monotonic()

    def restore(self, tallies: Sequence[ScoreTally]) -> int:
        """Takes over the sums of an interrupted run of this identity; returns how many windows are in them, else 0.

        A file of another run, or one that is damaged, is left out, and replaced later.
        """
        try:
            with np.load(self.path, allow_pickle=False) as file:
                held = dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return 0
        if str(held.get("mark")) != self._mark:
            return 0
        for number, tally in enumerate(tallies):
            start = f"{number}."
            tally.restore({name[len(start) :]: value for name, value in held.items() if name.startswith(start)})
        return int(held["windows"])

    def keep(self, tallies: Sequence[ScoreTally], windows: int, *, now: bool = False) -> None:
        """Writes the sums, if `now` or if the last time is long ago. Raises `Failure` if they can't be written."""
        if not now and time.monotonic() - self._written < EVERY:
            return
        held: dict[str, Any] = {
            f"{number}.{name}": value for number, one in enumerate(tallies) for name, value in one.state().items()
        }
        try:
            with replacing(self.path) as part, part.open("wb") as file:
                np.savez(file, mark=np.array(self._mark), windows=np.array(windows), **held)
        except OSError as problem:
            message = f"{self.path} can't be written ({problem.strerror})."
            raise Failure("Results", message, "Name another --results file.") from problem
        self._written = time.monotonic()

    def forget(self) -> None:
        """Removes the file: the run is done."""
        self.path.unlink(missing_ok=True)
