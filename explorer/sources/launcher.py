"""The models that a person named on the command line, as runs to be begun in the explorer; each is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from explorer.sources.continued import continued
from explorer.sources.live import LiveSource, loader
from explorer.sources.recorder import RecordedSource
from explorer.sources.source import Source
from probes.schema.errors import BadInput
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec


class Launcher:
    """Makes live sources; one at a time is shown."""

    def __init__(self, wanted: PairSpec, settings: RunSettings, session: Path | None = None) -> None:
        """`session` is the file of the first run; those after it get files of their own."""
        self._wanted = wanted
        self._settings = settings
        self._session = session
        self._shown: RecordedSource | None = None

    def run(self) -> Source:
        """A new run of the models that were named. Raises `BadInput` where the file exists already."""
        return self._recorded(LiveSource(loader(self._wanted), self._settings))

    def resume(self, header: RunHeader, path: Sequence[StepRecord]) -> Source:
        """The models of a recorded run, after its steps. Raises `BadInput` where they are not named in it."""
        return self._recorded(continued(header, path, self._wanted))

    def unsaved(self) -> str:
        """What leaving the run that is shown would lose, in a sentence; "" where nothing."""
        return self._shown.recorder.unsaved() if self._shown is not None else ""

    def save(self, path: Path) -> None:
        """Writes the recording of the run that is shown to another place, where it goes on. Raises `BadInput` where
        the file exists, `Failure` where it can't be written; the recording is then what it was."""
        if self._shown is None:
            raise BadInput("Nothing to save", "No run is being recorded.", "Begin one.")
        self._shown.recorder.save(path.expanduser())

    def _recorded(self, source: Source) -> Source:
        self._shown = RecordedSource(source, self._session)
        self._session = None
        return self._shown
