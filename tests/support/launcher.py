"""A launcher that gives the explorer the source that a test has made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from explorer.sources.launcher import ItemAsRun
from explorer.sources.source import Source
from explorer.sources.toy.source import ToySource
from probes.schema.events import Explained
from probes.schema.header import RunHeader
from probes.schema.items import ItemSet
from probes.schema.record import StepRecord
from probes.schema.spec import PairSpec


def _never(*_: object) -> Source:
    raise AssertionError("nobody asked for models")


@dataclass
class FakeLauncher:
    """Each answer is a function of the test's."""

    begin: Callable[[], Source] = ToySource
    begin_tour: Callable[[], Source] = ToySource
    go_on: Callable[[RunHeader, Sequence[StepRecord], Sequence[Explained]], Source] = _never
    open_item: Callable[[PairSpec, ItemSet, str, ItemAsRun], Source] = _never
    unsaved: Callable[[], str] = lambda: ""
    save: Callable[[Path], None] = field(default=_never)  # type: ignore[assignment]


NO_MODELS = FakeLauncher(begin=_never)
"""Models could be loaded, and are not to be."""
