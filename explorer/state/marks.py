"""The steps that a person has marked, kept in the user's folder from one sitting to the next.

A recording is not changed by them. They belong to a run by what determines its steps (models, setting, prompt,
sampling) and to a path by the tokens forced on it, so they are there again if the same run is opened from another file.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import msgspec

from explorer.state.own_json import write_own_json
from probes.schema.branches import Branches
from probes.schema.errors import Failure
from probes.schema.header import RunHeader
from probes.system.user_folders import config_folder

_File = dict[str, list[str]]
"""The marked places of each run."""


class Marks:
    """The marks of one run. The file is read when a run's marks are first needed."""

    def __init__(self) -> None:
        self.version = 0
        """Grows whenever they change."""
        self._run = ""
        self._places: set[str] | None = None

    @property
    def path(self) -> Path:
        """The file that holds the marks of all runs. It need not exist."""
        return config_folder() / "marks.json"

    def begin(self, header: RunHeader) -> None:
        """From now on they are those of this run."""
        if (run := run_key(header)) != self._run:
            self._run, self._places = run, None
            self.version += 1

    def has(self, branches: Branches, step: int) -> bool:
        """Is a step of the path that is shown marked?"""
        return bool(self._known) and place_key(branches, step) in self._known

    def steps(self, branches: Branches) -> list[int]:
        """The marked steps of the path that is shown, in order."""
        known = self._known
        if not known:
            return []
        steps = {int(place.rpartition("/")[2]) for place in known}
        newest = len(branches.path())
        return sorted(step for step in steps if step <= newest and place_key(branches, step) in known)

    def toggle(self, branches: Branches, step: int) -> bool:
        """Marks a step of the path that is shown, or unmarks it. Returns whether it is marked now.

        Raises `Failure` if that can't be written; the step is marked, or not, as long as the program runs.
        """
        place, known = place_key(branches, step), self._known
        known ^= {place}
        self._places = known
        self.version += 1
        self._write(sorted(known))
        return place in known

    @property
    def _known(self) -> set[str]:
        if self._places is None:
            try:
                self._places = set(self._read().get(self._run, ())) if self._run else set()
            except Failure:
                self._places = set()  # marking a step says what is wrong
        return self._places

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as problem:
            raise Failure(
                "Marks", f"{self.path} can't be read: {problem}.", "Correct it, or move it away."
            ) from problem

    def _write(self, places: list[str]) -> None:
        everything = self._read()
        everything[self._run] = places
        if not places:
            del everything[self._run]
        write_own_json(self.path, everything)


def run_key(header: RunHeader) -> str:
    """A name of a run by what its steps follow from; a different number of steps or other watched tokens are no other
    run."""
    settings = header.settings
    parts = (
        header.dense.spec,
        header.dense.name,
        header.title,
        settings.follow.value,
        repr(settings.sampling),
        repr(settings.analysis_temperature),
        repr(header.prompt_ids),
        repr(header.text_ids),
    )
    return sha256("\n".join(parts).encode()).hexdigest()[:24]


def place_key(branches: Branches, step: int) -> str:
    """A step by the tokens that were forced on the way to it: "12", or "3:5432:-/12" on a branch."""
    forks, one = [], branches[branches.owner(step)]
    while one.parent is not None:
        forks.append(":".join("-" if part is None else str(part) for part in (one.step, one.dense, one.pruned)))
        one = branches[one.parent]
    return "/".join([*reversed(forks), str(step)])
