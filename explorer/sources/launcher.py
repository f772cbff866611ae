"""Begins runs of live models in the explorer, each of which is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from explorer.sources.continued import continued
from explorer.sources.live import LiveSource, loader
from explorer.sources.opened_item import ItemSource
from explorer.sources.recorder import RecordedSource
from explorer.sources.source import Source
from probes.schema.errors import BadInput
from probes.schema.events import Explained
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import LOAD_DEFAULTS, PairSpec
from probes.schema.task_results import ItemPrompt
from probes.system.user_folders import expanded

if TYPE_CHECKING:
    from probes.schema.items import ItemSet

ItemAsRun = Callable[[ItemPrompt, RunSettings], RunSettings]
"""The settings of the run that opens an item, made from those of the command line."""


class Launcher(Protocol):
    """Makes live sources for the explorer, one of which is shown at a time."""

    def begin(self) -> Source:
        """A new run. Raises `BadInput` if its file exists already."""

    def begin_tour(self) -> Source:
        """A new run for the tour, in which each model reads its own text. Raises `BadInput` as `begin` does."""

    def go_on(self, header: RunHeader, path: Sequence[StepRecord], found: Sequence[Explained]) -> Source:
        """Continues a recorded run after these steps, with what was found about them.

        Raises `BadInput` if the recording does not name its models.
        """

    def open_item(self, spec: PairSpec, items: ItemSet, item: str, as_run: ItemAsRun) -> Source:
        """The run of an item under a setting, up to the token that decides it. `as_run` makes its settings from those
        of the command line."""

    def unsaved(self) -> str:
        """A sentence on what would be lost by leaving the run that is shown; "" if nothing would."""

    def save(self, path: Path) -> None:
        """Copies the recording of the run that is shown into another file, and continues it there.

        Raises `BadInput` if the file exists, `Failure` if it can't be written; the recording is then as it was.
        """


class ModelLauncher:
    """Launches the models of the command line."""

    def __init__(
        self, spec: PairSpec, settings: RunSettings, file: Path | None = None, tour: PairSpec | None = None
    ) -> None:
        """`file` is the recording of the first run; later runs get files of their own. `tour` has the
        models of the tour, if they are others."""
        self._spec = spec
        self._tour = tour or spec
        self._settings = settings
        self._file = file and expanded(file)
        self._shown: RecordedSource | None = None
        self._item: ItemSource | None = None
        """The item that was opened last, whose models are used again."""

    def begin(self) -> Source:
        return self._recorded(LiveSource(loader(self._spec), self._settings))

    def begin_tour(self) -> Source:
        return self._recorded(LiveSource(loader(self._tour), replace(self._settings, follow=Follow.FREE)))

    def go_on(self, header: RunHeader, path: Sequence[StepRecord], found: Sequence[Explained] = ()) -> Source:
        return self._recorded(continued(header, path, self._spec, found))

    def open_item(self, spec: PairSpec, items: ItemSet, item: str, as_run: ItemAsRun) -> Source:
        placed = {
            name: value for name, value in asdict(self._spec.load).items() if value != getattr(LOAD_DEFAULTS, name)
        }
        here = replace(spec, load=replace(spec.load, **placed))
        settings = self._settings
        self._item = ItemSource(here, items, item, lambda prompt: as_run(prompt, settings), self._item)
        return self._recorded(self._item)

    @property
    def recording(self) -> Path | None:
        """The file of the run that was begun last; None if nothing was recorded."""
        path = self._shown.recorder.path if self._shown is not None else None
        return path if path is not None and path.exists() else None

    def unsaved(self) -> str:
        return self._shown.recorder.unsaved() if self._shown is not None else ""

    def save(self, path: Path) -> None:
        if self._shown is None:
            raise BadInput("Nothing to save", "No run is being recorded.", "Begin one.")
        self._shown.recorder.save(path)

    def _recorded(self, source: Source) -> Source:
        self._shown = RecordedSource(source, self._file)
        self._file = None
        return self._shown
