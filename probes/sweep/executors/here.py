"""Computes the cells of a sweep in this process, one after another."""

from __future__ import annotations

from collections.abc import Iterator

from probes.schema.spec import PairSpec
from probes.sweep.jobs import DenseFacts, ItemsFound, Job, JobDone, WorkerLost
from probes.sweep.worker import CellWorker
from probes.system.progress import UNWATCHED, Work

HERE = "here"


class Here:
    """One worker, which works while it is waited for."""

    def __init__(self) -> None:
        self._worker = CellWorker(HERE)
        self._job: Job | None = None
        self._steps: Iterator[ItemsFound | JobDone] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (HERE,)

    def dense(self, spec: PairSpec, work: Work = UNWATCHED) -> DenseFacts:
        return self._worker.dense(spec, work)

    def give(self, worker: str, job: Job) -> None:
        assert worker == HERE, "it is the only one"
        assert self._job is None, "it does one job at a time"
        self._job = job

    def wait(self, work: Work = UNWATCHED) -> tuple[str, JobDone] | ItemsFound | WorkerLost:
        assert self._job is not None, "a job was given"
        if self._steps is None:
            self._steps = self._worker.steps(self._job, work)
        found = next(self._steps)
        if isinstance(found, ItemsFound):
            return found
        self._job = self._steps = None
        return HERE, found

    def close(self) -> None:
        self._job = self._steps = None
