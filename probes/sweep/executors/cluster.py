"""Computes the cells of a sweep on the workers of a dask cluster, which may be on many machines.

A job goes to one named worker, so that the model and the twin that it holds are used again. Jobs and results are bytes
of plain data: a worker imports `probes` itself. dask, however, lets everybody who can connect to its scheduler run code
on every machine of the cluster; docs/cluster.md says how to keep others out.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, Queue
from typing import TYPE_CHECKING
from uuid import uuid4

from probes.schema.errors import Failure, PhierError
from probes.schema.foreign_text import said, visible
from probes.schema.spec import PairSpec
from probes.schema.sweep import CellError, CellResult
from probes.sweep.job_messages import job_message, read_done, read_statement, spec_message
from probes.sweep.jobs import DenseFacts, Job, JobDone, WorkerJoined, WorkerLost
from probes.sweep.statement import check_statement
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from distributed import Client, Future

PATIENCE = 60.0
"""Seconds for which a cluster may have no worker."""
_LOOK = 0.5
"""Seconds between two looks at the list of workers."""
_MOST_SIDES = 2 * 2**30
"""Bytes of what the dense model gave for tasks that are kept on one worker."""
_WAITING, _LOADING, _CELLS = "Waiting for workers", "Loading the dense model on the workers", "Cells"
_AGAIN = "Start workers, and give the same command again: the sweep goes on."


@dataclass(slots=True, eq=False)
class _Member:
    """A worker of the cluster."""

    admitted: bool = False
    """Has it stated what it has, and is it the same as everywhere?"""
    future: Future[bytes] | None = None
    """Its statement or its job, until it is there."""
    job: Job | None = None
    sides: OrderedDict[tuple[int, bytes], Future[bytes]] = field(default_factory=OrderedDict)
    """What the dense model gave and was sent to it, by size and hash; the latest one last."""


class ClusterWorkers:
    """The workers of a dask cluster. `cluster_at` connects to it."""

    def __init__(
        self,
        client: Client,
        work: Work = UNWATCHED,
        say: Callable[[str], None] = lambda _: None,
        patience: float = PATIENCE,
    ) -> None:
        """Waits for at least one worker, and for the versions of all that are there. `say` is given a sentence on each
        worker that is lost, and on each that joins later and can't be used.

        Raises `BadInput` if one that is there has other versions, `Failure` if none comes in time.
        """
        self._client, self._say, self._patience = client, say, patience
        self._members: dict[str, _Member] = {}
        self._refused: set[str] = set()
        self._events: deque[WorkerLost | WorkerJoined] = deque()
        self._arrived: Queue[tuple[str, Future[bytes], bytes | BaseException]] = Queue()
        self._spec = b""
        self._dense: DenseFacts | None = None
        self._first = ""
        """The worker that stated the dense model first."""
        self._looked = 0.0
        self._assemble(_WAITING, work)

    @property
    def names(self) -> tuple[str, ...]:
        """The addresses of the workers that are alive and have the same as the others."""
        return tuple(name for name, member in self._members.items() if member.admitted)

    def dense(self, spec: PairSpec, work: Work = UNWATCHED) -> DenseFacts:
        """What the dense model of all workers is; they load it at the same time. Raises what loading raises, and
        `BadInput` if two workers have different ones."""
        self._spec, self._dense = spec_message(spec), None
        for name, member in self._members.items():
            member.admitted = False
            self._ask(name, member)
        self._assemble(_LOADING, work)
        assert self._dense is not None, "the workers that are admitted have stated it"
        return self._dense

    def give(self, worker: str, job: Job) -> None:
        """Sends a job to an idle worker. If that has died, the next `wait` says so."""
        member = self._members[worker]
        assert member.future is None, "a worker does one job at a time"
        member.job = job
        try:
            side = self._side_on(worker, member, job.dense_side)
        except (OSError, TimeoutError):  # the worker has died, or its scheduler
            self._forget(worker, "it could not be reached")
            return
        self._submit(worker, member, _compute, job_message(job), side)

    def wait(self, work: Work = UNWATCHED) -> tuple[str, JobDone] | WorkerLost | WorkerJoined:
        """What happens next. Raises `Cancelled`, and `Failure` if the scheduler has ended or all workers have gone and
        none joins in time."""
        deadline = time.monotonic() + self._patience
        while True:
            work.check(_CELLS)
            # A worker may be started again where the last one has died, so that is not said before.
            if self._events and (self.names or time.monotonic() > deadline):
                return self._events.popleft()
            if (arrived := self._next()) is None:
                continue
            name, member, outcome = arrived
            if (job := member.job) is None:
                try:
                    self._admit(name, member, outcome)
                    self._events.append(WorkerJoined(name))
                except PhierError as problem:
                    self._refuse(name)
                    self._say(f"{problem} It is not used.")
                continue
            member.job = None
            return name, _done(outcome, job, name)

    def close(self) -> None:
        """Gives up the jobs that are being done, and leaves the workers alive."""
        for name in tuple(self._members):
            self._give_up(self._members.pop(name))
        self._client.close()

    # The list of workers ------------------------------------------------------------------------------------------

    def _assemble(self, task: str, work: Work) -> None:
        """Waits until all workers that are there have made their statements, and there is one."""
        deadline = time.monotonic() + self._patience
        while not self.names or any(member.future is not None for member in self._members.values()):
            work.report(task, len(self.names), len(self._members) or None, "workers")
            if (arrived := self._next()) is not None:
                name, member, outcome = arrived
                self._admit(name, member, outcome)
            elif not self._members and time.monotonic() > deadline:
                raise Failure("No workers", f"The cluster has had no worker for {self._patience:.0f} seconds.", _AGAIN)
        self._events.clear()

    def _next(self) -> tuple[str, _Member, bytes | BaseException] | None:
        """The next statement or result; None if none came within a moment. Looks at the list of workers meanwhile."""
        if time.monotonic() >= self._looked + _LOOK:
            self._look()
        try:
            name, future, outcome = self._arrived.get(timeout=_LOOK)
        except Empty:
            return None
        member = self._members.get(name)
        if member is None or member.future is not future:
            return None
        member.future = None
        if isinstance(outcome, (CancelledError, OSError)):
            # It has died, or its scheduler has begun again; if it is still there it is asked again.
            self._forget(name, "its job was lost")
            return None
        return name, member, outcome

    def _look(self) -> None:
        """Finds the workers that have joined or died."""
        scheduler = self._client.scheduler
        try:  # not `scheduler_info`: while the client renews that, it is without workers
            alive = self._client.sync(scheduler.identity, n_workers=-1)["workers"] if scheduler else None
        except OSError:
            alive = None
        if alive is None or self._client.status != "running":
            raise Failure("Scheduler lost", "The connection to the scheduler has ended.", _AGAIN)
        self._looked = time.monotonic()
        for name in self._members.keys() - alive:
            self._forget(name, "its process or its machine has ended, or can't be reached")
        self._refused &= alive.keys()
        for name in alive.keys() - self._members.keys() - self._refused:
            self._members[name] = _Member()
            self._ask(name, self._members[name])

    def _forget(self, name: str, why: str) -> None:
        member = self._members.pop(name)
        if member.admitted:
            self._events.append(WorkerLost(name, member.job, f"{name}: {why}"))
            self._say(f"The worker {visible(name)} was lost: {why}.")
        self._give_up(member)

    def _refuse(self, name: str) -> None:
        self._give_up(self._members.pop(name))
        self._refused.add(name)

    def _give_up(self, member: _Member) -> None:
        member.sides.clear()
        if member.future is not None:
            member.future.cancel()

    # Statements and jobs ------------------------------------------------------------------------------------------

    def _ask(self, name: str, member: _Member) -> None:
        self._submit(name, member, _state, self._spec)

    def _admit(self, name: str, member: _Member, outcome: bytes | BaseException) -> None:
        """Raises `BadInput` if the worker differs from the others, and what loading its model raised."""
        if isinstance(outcome, BaseException):
            message = f"The worker {visible(name)} can't say what it has: {said(outcome)}"
            raise Failure(
                "Unusable worker", message, "Install phier there and beside the scheduler, in the same version as here."
            )
        stated = read_statement(outcome)
        check_statement(stated, visible(name), self._dense, visible(self._first))
        if self._dense is None and stated.dense is not None:
            self._dense, self._first = stated.dense, name
        elif self._dense is not None and stated.dense is not None:  # the number that every machine has cores for
            self._dense = replace(self._dense, threads=min(self._dense.threads, stated.dense.threads))
        member.admitted = True

    def _submit(self, name: str, member: _Member, task: Callable[..., bytes], *given: object) -> None:
        member.future = self._client.submit(
            task,
            *given,
            key=f"phier-{uuid4().hex}",
            workers=[name],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        member.future.add_done_callback(partial(_arrive, self._arrived, name))

    def _side_on(self, name: str, member: _Member, side: bytes) -> Future[bytes] | bytes:
        """What the dense model gave, on the worker: it is sent once, and kept there for later cells of the task."""
        if not side:
            return b""
        sides, key = member.sides, (len(side), hashlib.blake2b(side).digest())
        if key not in sides:
            sides[key] = self._client.scatter([side], workers=[name], hash=False)[0]
            while len(sides) > 1 and sum(size for size, _ in sides) > _MOST_SIDES:
                sides.popitem(last=False)
        sides.move_to_end(key)
        return sides[key]


def _arrive(queue: Queue[tuple[str, Future[bytes], bytes | BaseException]], name: str, future: Future[bytes]) -> None:
    """Fetches what a worker has, on dask's own thread."""
    try:
        queue.put((name, future, future.result()))
    except (Exception, CancelledError) as problem:  # noqa: BLE001 - whatever it is, it is the worker's answer
        queue.put((name, future, problem))


def _done(outcome: bytes | BaseException, job: Job, name: str) -> JobDone:
    """What a worker gave; what can't be used is an error of the cell."""
    if isinstance(outcome, bytes):
        try:
            return read_done(outcome, job, name)
        except PhierError as problem:
            error = CellError(problem.title, problem.message, problem.hint)
    else:
        error = CellError("Unexpected error", said(outcome))
    return JobDone(CellResult(job.cell, error=error, worker=name))


def _state(spec: bytes) -> bytes:
    """Runs on a worker."""
    from probes.sweep.executors.remote_worker import state

    return state(spec, _given_up())


def _compute(message: bytes, dense_side: bytes) -> bytes:
    """Runs on a worker."""
    from probes.sweep.executors.remote_worker import compute

    return compute(message, dense_side, _given_up())


def _given_up() -> Callable[[], bool]:
    """Has the task of this thread been cancelled, because its sweep has ended? dask itself can't stop a task."""
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def given_up() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state != "executing" or worker.status not in (Status.running, Status.paused)

    return given_up
