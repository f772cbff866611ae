"""Opens an item of a results file as a run: loads its models, which read its prompt up to the deciding token."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from explorer.sources.kept_scores import prompt_of
from explorer.sources.live import LiveSource, Loader, loader
from probes.schema.requests import Run
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.schema.task_results import ItemPrompt
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.pair import Pair
    from probes.schema.items import ItemSet

AsRun = Callable[[ItemPrompt], RunSettings]
"""The settings of the run that opens an item."""
_FIRST_STEP = ("steps=1",)


class ItemSource(LiveSource):
    """Live models on an item, of which the first step is measured, or all of a generated answer."""

    def __init__(
        self, spec: PairSpec, items: ItemSet, item: str, as_run: AsRun, before: ItemSource | None = None
    ) -> None:
        """`before` is an item that was open earlier, and is closed: its models are used again if they are the same."""
        super().__init__(_again(spec, before), RunSettings(""))
        self.spec = spec
        self._items, self._item, self._as_run = items, item, as_run

    @property
    def models(self) -> Pair | None:
        """The models, once they are loaded."""
        return self._pair

    @property
    def ended(self) -> bool:
        """Has every thread that uses the models ended, after `close`?"""
        return all(lane.close(0.0) for lane in (self._measuring, self._beside, self._scoring))

    def _begin(self, work: Work) -> None:
        pair = self._adopt(self._load(work))
        settings = self._as_run(prompt_of(self._item, pair, self._items))
        self._start(0, settings, work)
        self._go(Run(() if settings.follow is Follow.FREE else _FIRST_STEP))


def _again(spec: PairSpec, before: ItemSource | None) -> Loader:
    """Prunes the models of an earlier item by another setting, if nothing else differs; loads them otherwise."""

    def load(work: Work) -> Pair:
        if before is None or _models(before.spec) != _models(spec) or spec.prune is None:
            return loader(spec)(work)
        while not before.ended:
            work.check("Waiting for the models")
            before.wait_idle(0.05)
        if before.models is None:
            return loader(spec)(work)
        return before.models.repruned(spec.prune, work)

    return load


def _models(spec: PairSpec) -> object:
    return spec.dense, spec.pruned, spec.calibration, spec.load
