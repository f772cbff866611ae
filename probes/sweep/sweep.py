"""Runs a sweep: gives its cells to workers, and keeps what they find. Only this module writes the sweep's files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from probes.schema.errors import BadInput, Failure
from probes.schema.spec import PairSpec
from probes.schema.sweep import CellError, CellResult, SweepHeader, SweepPlan, SweepProgress
from probes.schema.task_results import ItemResult
from probes.sweep.cells import PlannedCell, planned_cells
from probes.sweep.curves import results_by_key
from probes.sweep.estimate import CellTimes, SweepEstimate, estimated
from probes.sweep.executors.here import Here
from probes.sweep.jobs import DenseFacts, Found, ItemsFound, Job, JobDone, WorkerJoined, WorkerLost, Workers
from probes.sweep.judged import judged_row
from probes.sweep.plan_check import SweptTask, check_plan
from probes.sweep.plan_file import plan_toml
from probes.sweep.sweep_file import (
    SweepFile,
    cant_write,
    cell_file,
    cells_folder,
    claimed,
    read_sweep,
    sweep_file,
)
from probes.sweep.versions import sweep_versions
from probes.system.files import replacing
from probes.system.progress import UNWATCHED, Work
from probes.tasks.results_file import ResultsFile, ResultsHeader, read_results, results_file

SWEEPING = "Sweeping"
"""The name of this work."""
_LOSSES = 3
"""A cell that so many workers have died of is an error."""
_POLL = 0.5
"""Seconds between two looks at cells that another program computes."""


@dataclass(frozen=True, slots=True)
class PreparedSweep:
    """A plan with its cells, before anything is computed."""

    plan: SweepPlan
    tasks: tuple[SweptTask, ...]
    dense: DenseFacts
    cells: tuple[PlannedCell, ...]
    notes: tuple[str, ...] = ()

    @property
    def header(self) -> SweepHeader:
        """The header of its file."""
        return SweepHeader(
            dense=self.dense.name,
            spec=self.plan.dense,
            cells=tuple(one.cell for one in self.cells),
            margin=self.plan.margin,
            level=self.plan.level,
            versions=sweep_versions(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            plan=plan_toml(self.plan),
            threads=self.dense.threads,
        )

    def estimate(self, path: Path, workers: int = 1) -> SweepEstimate:
        """The time and the memory of the cells that are not in the file."""
        results = results_by_key(read_sweep(path)) if path.exists() and path.stat().st_size else {}
        return estimated(self.dense, self.cells, results, self.plan.options, workers)


def prepare_sweep(plan: SweepPlan, workers: Workers, work: Work = UNWATCHED) -> PreparedSweep:
    """Checks a plan, has a worker load the dense model, and makes the cells. Raises `BadInput` and what loading
    raises."""
    tasks = check_plan(plan, work)
    dense = workers.dense(PairSpec(plan.dense, prune=plan.settings[0].setting, load=plan.load), work)
    cells, notes = planned_cells(plan, tasks, dense)
    return PreparedSweep(plan, tasks, dense, cells, notes)


def run_sweep(
    prepared: PreparedSweep | SweepPlan,
    path: Path,
    workers: Workers | None = None,
    work: Work = UNWATCHED,
    tell: Callable[[SweepProgress], None] = lambda _: None,
) -> Iterator[CellResult]:
    """Computes the cells that are not in the file, and gives each result when it is in the file.

    Without `workers` they are computed in this process, one after another.

    Results that another program adds meanwhile are given too. `tell` hears of every change. A cell that fails is a
    result with an error; a later sweep tries it again. Raises `BadInput` for a plan or a file that can't be used,
    `Failure` if the file can't be written or no worker is left, and `Cancelled`.
    """
    workers = workers or Here()
    if isinstance(prepared, SweepPlan):
        prepared = prepare_sweep(prepared, workers, work)
    with sweep_file(path) as file:
        yield from _Coordinator(prepared, file, workers, work, tell).results()


@dataclass(eq=False)
class _Running:
    """A cell that a worker computes, and what is held meanwhile."""

    planned: PlannedCell
    held: ExitStack
    known: tuple[Found, ...]
    """What an interrupted sweep had scored."""
    kept: ResultsFile | None = None
    """The cell's own file."""
    done: set[str] = field(default_factory=set)
    """The items that are scored."""

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        items = self.planned.items
        return len(self.done) / len(items) if items else 0.0


class _Coordinator:
    def __init__(
        self,
        prepared: PreparedSweep,
        file: SweepFile,
        workers: Workers,
        work: Work,
        tell: Callable[[SweepProgress], None],
    ) -> None:
        self._prepared, self._file, self._workers, self._work, self._tell = prepared, file, workers, work, tell
        self._todo: list[PlannedCell] = []
        self._running: dict[str, _Running] = {}
        self._holds: dict[str, PairSpec] = {}
        """What the twin of a worker was last made by."""
        self._times = CellTimes(prepared.dense, prepared.cells, prepared.plan.options)
        self._losses: dict[str, int] = {}
        self._failed = 0
        self._threads = 0
        """Those of the file, with which all of its cells are computed."""

    def results(self) -> Iterator[CellResult]:
        self._begin()
        try:
            self._report()
            while self._todo or self._running:
                yield from self._give()
                if not self._running:
                    if self._todo:  # another program computes them
                        self._work.check(SWEEPING)
                        self._report(elsewhere=len(self._todo))
                        time.sleep(_POLL)
                    continue
                happened = self._workers.wait(self._work)
                match happened:
                    case ItemsFound():
                        self._keep(self._running[happened.worker], happened.header, happened.items)
                    case WorkerLost():
                        yield from self._lost(happened)
                    case WorkerJoined():
                        pass  # it is given a cell next
                    case (worker, done):
                        yield from self._done(worker, done)
                self._report()
        finally:
            for running in self._running.values():
                running.held.close()

    def _begin(self) -> None:
        """Writes the header, and finds the cells that are left."""
        prepared, file = self._prepared, self._file
        plan = prepared.plan
        before = file.header if file.results else None
        file.check_same(prepared.header.versions, plan.load.threads)
        judged_so = before is None or (before.margin, before.level) == (plan.margin, plan.level)
        for one in prepared.cells:
            known = file.results.get(str(one.cell.key))
            if known is None or known.error is not None or not (judged_so or self._judge_again(one, known)):
                self._todo.append(one)
            else:
                self._times.learn(one, known)
        self._threads = file.begin(prepared.header, plan.load.threads)

    def _judge_again(self, one: PlannedCell, known: CellResult) -> bool:
        """Judges a known cell by the plan's margin and level; False if its items are not there."""
        if one.items is None:
            return True
        try:
            found = read_results(cell_file(self._file.path, one.cell.key)).results
        except BadInput:
            return False
        if len({result.item for result in found}) < len(one.items):
            return False
        plan = self._prepared.plan
        row, _ = judged_row(one.items, _renamed(found, one.items.name), plan.margin, plan.level)
        self._file.judge_again(replace(known, row=row))
        return True

    # Giving -------------------------------------------------------------------------------------------------------

    def _give(self) -> Iterator[CellResult]:
        """Gives every idle worker a cell. Gives the results of cells that another program has computed."""
        for worker in self._workers.names:
            while worker not in self._running and self._todo:
                chosen = self._claim(worker)
                if chosen is None:
                    break
                one, held = chosen
                self._file.refresh()
                there = self._file.results.get(str(one.cell.key))
                if there is not None and there.error is None:
                    held.close()
                    self._todo.remove(one)
                    yield there
                    continue
                self._todo.remove(one)
                self._start(worker, one, held)
                self._report()

    def _claim(self, worker: str) -> tuple[PlannedCell, ExitStack] | None:
        """The best cell for a worker that no other program computes; None if there is none."""
        for one in sorted(self._todo, key=lambda one: self._cost(worker, one)):
            held = ExitStack()
            if held.enter_context(claimed(self._file.path, one.cell.key)):
                return one, held
            held.close()
        return None

    def _cost(self, worker: str, one: PlannedCell) -> tuple[bool, bool, bool]:
        """How much a cell would cost this worker beyond its own work: the dense side of its task once more, and another
        pruning. Of equal ones, the first of the plan is chosen."""
        task = one.cell.key.task
        others = [running.planned for running in self._running.values()]
        twice = any(other.cell.key.task == task for other in others) and not self._dense_side(one).exists()
        elsewhere = any(other.spec == one.spec for other in others)
        return twice, self._holds.get(worker) != one.spec, elsewhere

    def _start(self, worker: str, one: PlannedCell, held: ExitStack) -> None:
        plan, known = self._prepared.plan, self._known_items(one)
        side = self._dense_side(one)
        job = Job(
            one.cell,
            one.spec,
            items=one.items,
            prompt=one.prompt,
            options=plan.options,
            margin=plan.margin,
            level=plan.level,
            known=known,
            dense_side=side.read_bytes() if side.exists() else b"",
            threads=self._threads,
        )
        self._running[worker] = _Running(one, held, known, done={_item(found) for found in known} - {""})
        self._holds[worker] = one.spec
        self._workers.give(worker, job)

    def _known_items(self, one: PlannedCell) -> tuple[Found, ...]:
        """What an interrupted sweep had scored of this cell."""
        place = cell_file(self._file.path, one.cell.key)
        if one.items is None or not place.exists():
            return ()
        try:
            kept = read_results(place)
        except BadInput:  # another version has written it, or it is damaged: it is begun again
            place.unlink()
            return ()
        found: tuple[Found, ...] = (*kept.results, *kept.similarities)
        if any(items.name != one.items.name for items in kept.item_sets):
            place.unlink()  # the task has another name now, under which they are kept again
        return _renamed(found, one.items.name)

    def _dense_side(self, one: PlannedCell) -> Path:
        key = one.cell.key
        return cells_folder(self._file.path) / f"{key.model}-{key.task}.dense"

    # Keeping ------------------------------------------------------------------------------------------------------

    def _keep(self, running: _Running, header: ResultsHeader, found: Sequence[Found]) -> None:
        """Appends items to the cell's own file."""
        one = running.planned
        assert one.items is not None, "a prompt has no items"
        if running.kept is None:
            place = cell_file(self._file.path, one.cell.key)
            with suppress(BadInput):  # the key says that both depend on the same; the device's number may differ
                header = read_results(place).header if place.exists() else header
            running.kept = running.held.enter_context(results_file(place, header))
            running.kept.take([one.items])
            found = (*running.known, *found)
        there = running.kept.known | {(other.task, "") for other in running.kept.kept.similarities}
        for new in found:
            if (new.task, _item(new)) not in there:
                running.kept.add(new)
            if _item(new):
                running.done.add(_item(new))

    def _done(self, worker: str, done: JobDone) -> Iterator[CellResult]:
        running = self._running[worker]
        if done.header is not None and done.result.error is None:
            self._keep(running, done.header, done.items)
        if done.recording:
            with _writing(cell_file(self._file.path, done.result.cell.key)) as part:
                part.write_bytes(b"".join(done.recording))
        side = self._dense_side(running.planned)
        if done.dense_side:
            with _writing(side) as part:
                part.write_bytes(done.dense_side)
        yield from self._end(worker, done.result)

    def _lost(self, lost: WorkerLost) -> Iterator[CellResult]:
        """Puts the cell of a worker that has died back, or gives it up if several have died of it."""
        self._holds.pop(lost.worker, None)
        running = self._running.get(lost.worker)
        if running is not None:
            one = running.planned
            key = str(one.cell.key)
            self._losses[key] = self._losses.get(key, 0) + 1
            if self._losses[key] >= _LOSSES:
                message = f"{_LOSSES} workers have died while they computed it: {lost.why}"
                error = CellError("Workers died", message, "It may need more memory than they have.")
                yield from self._end(lost.worker, CellResult(one.cell, error=error, worker=lost.worker))
            else:
                self._running.pop(lost.worker).held.close()
                self._todo.insert(0, one)
        if not self._workers.names:
            raise Failure("No workers", f"All workers have died: {lost.why}", "Start again: the sweep goes on.")

    def _end(self, worker: str, result: CellResult) -> Iterator[CellResult]:
        """Appends the result, and then gives up the claim."""
        running = self._running.pop(worker)
        try:
            added = self._file.add(result)
        finally:
            running.held.close()
        self._failed += result.error is not None
        if not running.known:  # or its time is that of a part of it
            self._times.learn(running.planned, result)
        if added:
            yield result

    # Telling ------------------------------------------------------------------------------------------------------

    def _report(self, elsewhere: int = 0) -> None:
        cells = self._prepared.cells
        done = len(cells) - len(self._todo) - len(self._running)
        present = tuple(
            (f"{one.planned.cell.setting} on {one.planned.cell.task}", one.share) for one in self._running.values()
        )
        left = sum(self._times.scoring(one.planned) * (1 - one.share) for one in self._running.values())
        seconds = (left + self._times.left(self._todo)) / max(1, len(self._workers.names))
        self._tell(SweepProgress(done - self._failed, self._failed, len(cells), present, seconds, elsewhere))


def _item(found: Found) -> str:
    """The id of an item; "" for similarities."""
    return found.item if isinstance(found, ItemResult) else ""


def _renamed(found: Sequence[Found], task: str) -> tuple[Found, ...]:
    """The same results under the present name of their task, which has no effect on them."""
    return tuple(replace(one, task=task) for one in found)


@contextmanager
def _writing(place: Path) -> Iterator[Path]:
    """Writes a file beside the sweep's as a whole. Raises `Failure` if it can't be written."""
    try:
        with replacing(place) as part:
            yield part
    except OSError as problem:
        raise cant_write(place, problem) from problem
