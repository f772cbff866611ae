"""Writes a job, and what it gave, as bytes that hold data and no code, and reads them again.

What comes from another machine is checked like a file that somebody sends: numbers are within their bounds, text is
safe to show, and nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec

from probes.recording.finding_lines import value_from
from probes.schema.as_json import json_of
from probes.schema.bounds import LONGEST_TEXT
from probes.schema.errors import Failure
from probes.schema.flat_step import to_jsonable
from probes.schema.foreign_text import said, visible
from probes.schema.items import ItemSet
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.sweep import Cell, CellError, CellResult, PromptTask
from probes.schema.task_options import TaskOptions
from probes.schema.task_results import ItemResult, Similarities
from probes.sweep.jobs import Found, Job, JobDone
from probes.sweep.statement import Statement
from probes.tasks.results_file import ResultsHeader

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Models:
    """The models of a job. A setting is text, as everywhere outside of the program."""

    dense: str
    prune: str
    calibration: CalibrationSpec
    load: LoadOptions

    @classmethod
    def of(cls, spec: PairSpec) -> _Models:
        return cls(spec.dense, str(spec.prune), spec.calibration, spec.load)

    def spec(self) -> PairSpec:
        return PairSpec(self.dense, prune=parse(self.prune), calibration=self.calibration, load=self.load)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A job without its bytes."""

    cell: Cell
    models: _Models
    items: ItemSet | None
    prompt: PromptTask | None
    options: TaskOptions
    margin: float
    level: float
    threads: int
    results: tuple[ItemResult, ...]
    similarities: tuple[Similarities, ...]


@dataclass(frozen=True, slots=True)
class _Given:
    """What a job gave, without its bytes."""

    result: CellResult
    header: ResultsHeader | None
    results: tuple[ItemResult, ...]
    similarities: tuple[Similarities, ...]


def spec_message(spec: PairSpec) -> bytes:
    """The models as bytes."""
    return _written(_Models.of(spec))


def read_spec(message: bytes) -> PairSpec:
    """The models that `spec_message` wrote. Raises `Failure` if they are none, `BadInput` if this machine can't have
    them."""
    return _read(message, _Models)[0].spec()


def statement_message(statement: Statement) -> bytes:
    """What a worker states, as bytes."""
    return _written(statement)


def read_statement(message: bytes) -> Statement:
    """What a worker states. Raises `Failure` if it is no statement."""
    found = _read(message, Statement)[0]
    versions = {_shown(name): _shown(value) for name, value in found.versions.items()}
    return replace(found, versions=versions, error=_safe(found.error))


def job_message(job: Job) -> bytes:
    """The job as bytes, without what the dense model gave for its task, which is sent apart."""
    return _written(
        _Asked(
            job.cell,
            _Models.of(job.spec),
            job.items,
            job.prompt,
            job.options,
            job.margin,
            job.level,
            job.threads,
            *_apart(job.known),
        )
    )


def read_job(message: bytes, dense_side: bytes = b"") -> Job:
    """The job that `job_message` wrote. Raises `Failure` if it is none, `BadInput` if this machine can't do it."""
    asked = _read(message, _Asked)[0]
    return Job(
        asked.cell,
        asked.models.spec(),
        asked.items,
        asked.prompt,
        asked.options,
        asked.margin,
        asked.level,
        (*asked.results, *asked.similarities),
        dense_side,
        asked.threads,
    )


def done_message(done: JobDone) -> bytes:
    """What a job gave, as bytes."""
    return _written(_Given(done.result, done.header, *_apart(done.items)), done.dense_side, *done.recording)


def read_done(message: bytes, job: Job, worker: str) -> JobDone:
    """What the worker gave for this job. Raises `Failure` if it gave something else."""
    given, rest = _read(message, _Given)
    result = given.result
    items: tuple[Found, ...] = (*given.results, *given.similarities)
    task = job.items.name if job.items is not None else None
    if not rest or result.cell != job.cell or any(one.task != task for one in items):
        raise _unreadable("it is about another cell")
    notes = tuple(_shown(note) for note in result.notes)
    return JobDone(
        replace(result, worker=worker, error=_safe(result.error), notes=notes),
        items,
        given.header,
        tuple(rest[1:]),
        rest[0],
    )


def _apart(scored: Iterable[Found]) -> tuple[tuple[ItemResult, ...], tuple[Similarities, ...]]:
    every = tuple(scored)
    return (
        tuple(one for one in every if isinstance(one, ItemResult)),
        tuple(one for one in every if isinstance(one, Similarities)),
    )


def _written(value: object, *rest: bytes) -> bytes:
    """A figure that is not finite is null, and its path is in `nonfinite`, as in every file."""
    plain = to_jsonable(value)
    odd = plain.pop("nonfinite", {})
    return msgspec.msgpack.encode((json_of({"value": plain, "nonfinite": odd}), *rest))


def _read(message: bytes, kind: type[Value]) -> tuple[Value, list[bytes]]:
    try:
        first, *rest = msgspec.msgpack.decode(message, type=list[bytes])
        plain = msgspec.json.decode(first, type=dict[str, dict[str, Any]])
        return value_from(kind, plain["value"], plain["nonfinite"]), rest
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise _unreadable(said(problem, 200)) from None


def _unreadable(reason: str) -> Failure:
    return Failure(
        "Unreadable message",
        f"What came from another machine can't be read: {reason}",
        "Check that the same version of phier is installed on every machine.",
    )


def _safe(error: CellError | None) -> CellError | None:
    return error and CellError(_shown(error.title), _shown(error.message, 4), _shown(error.hint))


def _shown(text: str, times: int = 1) -> str:
    return visible(text, times * LONGEST_TEXT)
