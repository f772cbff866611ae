"""Opens a file as what it holds: recorded runs, the results of items, a sweep."""

from __future__ import annotations

from pathlib import Path

from explorer.sources.kept_results import ResultsSource, kind_of_file
from explorer.sources.kept_sweep import SweepSource
from explorer.sources.replay import ReplaySource
from explorer.sources.source import Source


def opened_file(path: Path, number: int | None = None) -> Source:
    """The source that shows a file; `number` chooses the run of a recording."""
    match kind_of_file(path):
        case "results":
            return ResultsSource(path)
        case "sweep":
            return SweepSource(path)
        case _:
            return ReplaySource(path, number=number)
