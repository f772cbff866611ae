"""A sweep's file as a source: the cells that it holds, and those that are added while another program computes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.sources.kept_results import ResultsSource
from explorer.sources.replay import ReplaySource
from explorer.sources.shown_errors import failure_of
from explorer.sources.source import Sink, Source
from probes.schema.errors import BadInput, FailureKind
from probes.schema.events import Failed, SweepRead
from probes.schema.foreign_text import visible
from probes.schema.prune_setting import parse
from probes.schema.requests import Cancel, Judge, Request
from probes.schema.spec import PairSpec
from probes.schema.sweep import Cell, Sweep
from probes.system.fence import inside

if TYPE_CHECKING:
    from probes.sweep.sweep_file import SweepReader

LOOK_EVERY = 0.5
"""Seconds from one look at the file to the next."""


class SweepSource:
    """Shows a sweep, and looks again and again whether its file has grown."""

    live = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sink: Sink = lambda _event: None
        self._reader: SweepReader | None = None
        self._file: tuple[int, ...] = ()
        """The number of the file that was read."""
        self._seen: object = None
        """What the file looked like when it was read last."""
        self._news = threading.Condition()
        """Guards what is below."""
        self._asked: Judge | None = None
        self._margin: float | None = None
        self._looked = self._closed = False
        self._thread = threading.Thread(target=self._follow, name="sweep", daemon=True)

    def open(self, sink: Sink) -> None:
        self._sink = sink
        if self._thread.ident is None:
            self._thread.start()

    def ask(self, request: Request) -> None:
        match request:
            case Judge():
                with self._news:
                    self._asked = request
                    self._news.notify_all()
            case Cancel():
                pass  # nothing here takes long
            case _:
                message = f"{visible(self.path.name)} holds a sweep. Everything else needs the models."
                hint = "Open one of its cells, and an item there."
                self._sink(Failed("Only a sweep", message, hint, FailureKind.NEEDS_MODELS, request=request.id))

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self._closed or (self._looked and self._asked is None), seconds)

    def opened(self, setting: str, task: str) -> Source:
        """A source of one cell: the tasks of its setting that have results, as a verdict; a prompt's recording.

        Raises `BadInput` if nothing of it is there.
        """
        sweep = self._read()
        same = [cell for cell in sweep.header.cells if cell.setting == setting]
        cells = [cell for cell in same if cell.task == task]
        there = [cell for cell in cells if self.file_of(cell).is_file()]
        if not there:
            what = visible(f"{setting} on {task}", 200)
            raise BadInput("Nothing to open", f"There is no file of {what} beside the sweep.", "Compute it again.")
        chosen = there[0]
        prompts = {one.cell.task for one in sweep.results if one.run is not None}
        if task in prompts:
            return ReplaySource(self.file_of(chosen))
        seeds = {chosen.seed, None} if chosen.seed is not None else {cell.seed for cell in same[:1]} | {None}
        tasks: dict[str, Path] = {}
        for cell in same:
            file = self.file_of(cell)
            if cell.task not in prompts and (cell is chosen or cell.seed in seeds) and file.is_file():
                tasks.setdefault(cell.task, file)
        tasks[task] = self.file_of(chosen)
        header = sweep.header
        margin = self._margin if self._margin is not None else header.margin
        spec = spec_of_cell(sweep, chosen)
        return CellSource(spec, tuple(tasks.values()), tuple(tasks), margin=margin, level=header.level)

    def file_of(self, cell: Cell) -> Path:
        """The results file or the recording of a cell."""
        from probes.sweep.sweep_file import cell_file

        return cell_file(self.path, cell.key)

    # The thread that follows the file.

    def _follow(self) -> None:
        while True:
            try:
                self._look()
            except Exception as problem:  # noqa: BLE001 - the one boundary of this thread: every failure is reported
                self._sink(failure_of(problem))
            with self._news:
                self._looked = True
                self._news.notify_all()
                self._news.wait_for(lambda: self._closed or self._asked is not None, LOOK_EVERY)
                if self._closed:
                    return

    def _look(self) -> None:
        """Reads what is new in the file, and tells it."""
        asked = self._asked
        try:
            from probes.sweep.sweep_file import claimed_keys

            running, status = claimed_keys(self.path), _status(self.path)
            if asked is None and (status, running) == self._seen:
                return
            self._seen = status, running
            if asked is not None:
                self._margin = asked.margin
            event = read_event(self._grown(), running, self._margin)
            self._sink(replace(event, request=asked.id) if asked is not None else event)
        finally:
            with self._news:
                if self._asked is asked:
                    self._asked = None

    def _grown(self) -> Sweep:
        """The sweep with the lines that are new. A file that was replaced is read from its beginning."""
        from probes.sweep.sweep_file import SweepReader, read_sweep

        reader, self._reader = self._reader, None
        status = _status(self.path)
        if status is None:
            return read_sweep(self.path)  # raises a sentence
        if reader is None or status[:1] != self._file or status[1] < reader.whole:
            reader = SweepReader(self.path)
        with inside(self.path).open("rb") as file:
            file.seek(reader.whole)
            reader.add(file.read())
        self._reader, self._file = reader, status[:1]
        return reader.sweep

    def _read(self) -> Sweep:
        if self._reader is None:
            raise BadInput("Not read", "The sweep is not read.", "Wait a moment.")
        return self._reader.sweep


class CellSource(ResultsSource):
    """The results of one setting of a sweep: those of all its tasks that there are."""

    def __init__(
        self, spec: PairSpec, paths: Sequence[Path], tasks: Sequence[str], *, margin: float, level: float
    ) -> None:
        super().__init__(*paths, margin=margin, level=level)
        self.spec = spec
        """The models that any of the items can be opened with."""
        self.tasks = tuple(tasks)
        """In the order of the rows."""


def read_event(sweep: Sweep, running: frozenset[str], margin: float | None = None) -> SweepRead:
    """The sweep with its rows judged by `margin`, or by its own; and its curves."""
    from probes.sweep.curves import curves, rejudged_sweep

    if margin is not None:
        sweep = rejudged_sweep(sweep, margin)
    return SweepRead(sweep, curves(sweep), running)


def spec_of_cell(sweep: Sweep, cell: Cell) -> PairSpec:
    """The models of a cell, as its plan says. Raises `BadInput` if that can't be read."""
    from probes.sweep.plan_file import plan_from_toml

    header, setting = sweep.header, parse(cell.setting)
    if not header.plan:
        return PairSpec(header.spec, prune=setting)
    plan = plan_from_toml(header.plan, "The plan in the sweep's file")
    threads = min(header.threads, os.cpu_count() or 1) or plan.load.threads
    calibration = plan.calibration if cell.seed is None else replace(plan.calibration, seed=cell.seed)
    return PairSpec(plan.dense, prune=setting, calibration=calibration, load=replace(plan.load, threads=threads))


def _status(path: Path) -> tuple[int, int, int] | None:
    """The number of a file, its size and the time of its last change; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
