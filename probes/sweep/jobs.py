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
from probes.tasks.results_file import ResultsHeader

Found = ItemResult | Similarities


@dataclass(frozen=True, slots=True)
class DenseFacts:
    """What the coordinator knows of the workers' dense model, which it need not load itself."""

    name: str
    fingerprint: str
    """Of the weights; "" if they have none."""
    configuration: str
    """A hash of the settings that it computes with."""
    dtype: str
    device: str
    """The kind of device: "cpu", "cuda"."""
    parameters: int
    bytes: int
    """Of its weights in memory."""
    context: int | None
    """The longest context; None if it states none."""
    second_per_token: float
    """Seconds a token of one pass over a text, measured when it was loaded."""
    layers: int = 0
    threads: int = 0
    """With which a worker would compute on a CPU; 0 if it computes elsewhere."""


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
    known: tuple[Found, ...] = ()
    """What an interrupted sweep had scored of this cell."""
    dense_side: bytes = b""
    """What the dense model gave for this task, as a worker has returned it; b"" if it is not known yet."""
    threads: int = 0
    """With which it is computed on a CPU, as the last bits of figures depend on it; 0 leaves it to the worker."""


@dataclass(frozen=True, slots=True)
class ItemsFound:
    """Some items of a job that is still being done, so that they can be kept at once."""

    worker: str
    job: Job
    header: ResultsHeader
    """What the results depend on: the first line of the cell's own file."""
    items: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class JobDone:
    """What a worker gives back."""

    result: CellResult
    items: tuple[Found, ...] = ()
    """All of the cell, those that were known included."""
    header: ResultsHeader | None = None
    """What the results depend on; None for a prompt, and if the cell failed before anything was scored."""
    recording: tuple[bytes, ...] = ()
    """The lines of a prompt's recording."""
    dense_side: bytes = b""
    """What the dense model gave, if the job did not bring all of it: this takes its place."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died; its job must be done elsewhere."""

    worker: str
    job: Job | None
    why: str


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A worker has joined, and is idle."""

    worker: str


class Workers(Protocol):
    """Some workers, here or elsewhere; each does one job at a time."""

    @property
    def names(self) -> tuple[str, ...]:
        """The workers that are alive now; more may join."""

    def dense(self, spec: PairSpec, work: Work = UNWATCHED) -> DenseFacts:
        """What the workers' dense model is; a worker loads it, unless it has. Raises what loading raises."""

    def give(self, worker: str, job: Job) -> None:
        """Gives an idle worker a job."""

    def wait(self, work: Work = UNWATCHED) -> tuple[str, JobDone] | ItemsFound | WorkerLost | WorkerJoined:
        """What happens next: the worker that has finished its job, has died or has joined, or items of a job (workers
        far away may give them only with the finished job). Raises `Cancelled`."""

    def close(self) -> None:
        """Ends the workers; jobs that are being done are given up."""
