"""Remembers what was measured of each set, so that a search that was stopped continues where it was.

One JSON line a set, appended as it is measured. The file is named by a hash of the whole question; it is in the cache
folder, because it can be made again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from probes.explain.search import Names, Score
from probes.system.cache_folder import Unkept
from probes.system.progress import Work
from probes.system.user_folders import cache_folder

VERSION = 1
"""Increased when a change of the program changes what a set measures."""
MOST_FILES = 100
"""The oldest questions beyond these are forgotten."""


class MeasuredSets:
    """Scores by set, in memory and, if there is a place, in a file."""

    def __init__(self, place: Path | None = None) -> None:
        """Reads what the file has; lines that can't be read, such as one that was cut off, are left out."""
        self._place = place
        self._scores: dict[Names, Score] = {}
        if place is not None and place.is_file():
            for line in place.read_text("utf-8", "replace").splitlines():
                with suppress(ValueError, TypeError, KeyError):
                    names, kl, same = json.loads(line)
                    score = Score(math.inf if kl is None else float(kl), tuple(map(bool, same)))
                    if score.kl >= 0:
                        self._scores[frozenset(names)] = score

    @classmethod
    def of_question(cls, *facts: object) -> MeasuredSets:
        """The scores of the question that these facts identify."""
        name = hashlib.sha256(json.dumps([VERSION, *facts]).encode()).hexdigest()
        return cls(cache_folder() / "repairs" / f"{name}.jsonl")

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, names: Names) -> Score | None:
        return self._scores.get(names)

    def add(self, names: Names, score: Score, work: Work) -> None:
        """Keeps a score. If the disk refuses it, that is noted once, and it stays in memory."""
        self._scores[names] = score
        if self._place is None:
            return
        line = json.dumps([sorted(names), None if math.isinf(score.kl) else score.kl, list(map(int, score.same))])
        try:
            if len(self._scores) == 1:
                self._place.parent.mkdir(parents=True, exist_ok=True)
                _forget_oldest(sorted(self._place.parent.glob("*.jsonl"), key=_changed))
            with self._place.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as problem:
            work.note(Unkept(problem).message)
            self._place = None


def _forget_oldest(places: Sequence[Path]) -> None:
    for place in places[: max(0, len(places) - MOST_FILES + 1)]:
        place.unlink(missing_ok=True)


def _changed(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0  # another program has just removed it
