"""What a worker of a sweep is given and gives back: plain data and no code, so that it can go to another machine.

A worker loads the dense model once, keeps its twin, and does one job at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from probes.schema.items import ItemSet
from probes.schema.spec import PairSpec
from probes.schema.sweep import Cell, CellResult, PromptTask
from probes.schema.task_options import TASK_DEFAULTS, TaskOptions
from probes.schema.task_results import ItemResult, Similarities
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY
from probes.system.progress import UNWATCHED, Work


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to compute."""

    cell: Cell
    spec: PairSpec
    """The models; `calibration.seed` is the cell's seed, if it has one."""
    items: ItemSet | None = None
    prompt: PromptTask | None = None
    """Exactly one of the two is given."""
    options: TaskOptions = TASK_DEFAULTS
    margin: float = MARGIN_OF_SAFETY
    level: float = LEVEL
    known: tuple[ItemResult | Similarities, ...] = ()
    """What an interrupted sweep had scored of this cell."""
    dense_side: bytes = b""
    """What the dense model gave for this task, as a worker has returned it; b"" if it is not known yet."""


@dataclass(frozen=True, slots=True)
class JobDone:
    """What a worker gives back."""

    result: CellResult
    items: tuple[ItemResult | Similarities, ...] = ()
    """All of the cell, those that were known included."""
    recording: tuple[bytes, ...] = ()
    """The lines of a prompt's recording."""
    dense_side: bytes = b""
    """What the dense model gave, if the job did not bring it."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died; its job must be done elsewhere."""

    worker: str
    job: Job | None
    why: str


class Workers(Protocol):
    """Some workers, here or elsewhere; each does one job at a time."""

    @property
    def names(self) -> tuple[str, ...]:
        """The workers that are alive now; more may join."""

    def give(self, worker: str, job: Job) -> None:
        """Gives an idle worker a job."""

    def wait(self, work: Work = UNWATCHED) -> tuple[str, JobDone] | WorkerLost:
        """What happens next: the worker that has finished its job, or has died. Raises `Cancelled`."""

    def close(self) -> None:
        """Ends the workers; jobs that are being done are given up."""
