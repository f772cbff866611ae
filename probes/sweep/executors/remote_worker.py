"""What a process on another machine does: it keeps one dense model and its twin, and computes one cell at a time.

It takes and gives bytes of plain data (`probes.sweep.job_messages`). Nothing that it was sent is run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from probes.schema.errors import BadInput, Cancelled, PhierError
from probes.schema.foreign_text import said
from probes.schema.spec import LoadOptions, PairSpec
from probes.schema.sweep import CellError, CellKey, CellResult
from probes.sweep.job_messages import done_message, read_job, read_spec, statement_message
from probes.sweep.jobs import DenseFacts, Job, JobDone
from probes.sweep.statement import Statement
from probes.sweep.versions import own_versions
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.sweep.worker import CellWorker

_THREAD = ThreadPoolExecutor(1, thread_name_prefix="cells")
"""Everything is computed on one thread, so one cell at a time, and always with the same number of torch's threads."""


def state(spec: bytes, given_up: Callable[[], bool]) -> bytes:
    """The versions of this process; if a spec is given, its dense model as well, which is loaded."""
    return statement_message(_THREAD.submit(_stated, spec, Work(cancelled=given_up)).result())


def compute(message: bytes, dense_side: bytes, given_up: Callable[[], bool]) -> bytes:
    """Computes the cell of a job. Its mistakes and failures are in the result. Raises `Cancelled`, and `Failure` if the
    message is no job."""
    return done_message(_THREAD.submit(_computed, message, dense_side, Work(cancelled=given_up)).result())


def _stated(spec: bytes, work: Work) -> Statement:
    versions = own_versions()
    if not spec:
        return Statement(versions)
    try:
        return Statement(versions, _facts(read_spec(spec), work))
    except PhierError as problem:
        error = CellError(problem.title, problem.message, problem.hint)
        return Statement(versions, error=error, bad_input=isinstance(problem, BadInput))
    except Exception as problem:  # noqa: BLE001 - a model that can't be loaded is an answer
        return Statement(versions, error=CellError("Unexpected error", said(problem)))


def _computed(message: bytes, dense_side: bytes, work: Work) -> JobDone:
    job = read_job(message, dense_side)
    try:
        work.check("A cell")  # it may have been given up while it waited for the one before
        _check_key(job, _facts(job.spec, work))
    except Cancelled:
        raise
    except PhierError as problem:
        return JobDone(CellResult(job.cell, error=CellError(problem.title, problem.message, problem.hint)))
    return _worker().do(job, work)


@cache
def _worker() -> CellWorker:
    from probes.sweep.worker import CellWorker  # only now, as stating versions needs no torch

    return CellWorker("remote")


_known: dict[tuple[str, LoadOptions], DenseFacts] = {}
"""The facts of the model that is loaded."""


def _facts(spec: PairSpec, work: Work) -> DenseFacts:
    wanted = spec.dense, spec.load
    if wanted not in _known:
        _known.clear()
        _known[wanted] = _worker().dense(spec, work)
    return _known[wanted]


def _check_key(job: Job, dense: DenseFacts) -> None:
    """Raises `BadInput` if the model, a file or the task is not the same here as where the key was made."""
    from probes.sweep.keys import cell_key

    task = job.items if job.items is not None else job.prompt
    spec = job.spec
    assert task is not None, "a job has items or a prompt"
    assert spec.prune is not None, "a job has a setting"
    here = cell_key(dense, spec.dense, spec.prune, spec.calibration, task, job.options, job.cell.seed)
    for field in fields(CellKey):
        if getattr(here, field.name) != getattr(job.cell.key, field.name):
            raise BadInput(
                f"Other {field.name}",
                f"This worker has another {_NAMED[field.name]} than the machine that runs the sweep.",
                "Give every machine the same files under the same names.",
            )


_NAMED = {
    "model": "dense model",
    "setting": "file of the prune setting",
    "calibration": "calibration text",
    "task": "wording of the task",
    "seed": "seed",
}
