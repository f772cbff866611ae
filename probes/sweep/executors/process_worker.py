"""What a process of a sweep does: it keeps one dense model and its twin, and computes one cell at a time.

It is started by `processes`, from which it gets plain values over a socket. If that closes, as it does when the other
process dies of whatever reason, this one ends at once.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from probes.schema.errors import BadInput, PhierError
from probes.schema.foreign_text import said
from probes.schema.spec import PairSpec
from probes.schema.sweep import CellError
from probes.sweep.jobs import DenseFacts, Found, ItemsFound, Job, JobDone
from probes.sweep.versions import own_versions
from probes.tasks.results_file import ResultsHeader

if TYPE_CHECKING:
    from probes.sweep.worker import CellWorker


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a process."""

    versions: dict[str, str]
    gpus: int
    """CUDA devices that it could compute on."""


@dataclass(frozen=True, slots=True)
class DenseLoaded:
    """The dense model is in memory, or can't be."""

    spec: PairSpec
    """By which it was asked for."""
    facts: DenseFacts | None = None
    private_bytes: int = 0
    """Memory that this process shares with no other one: that of a checkpoint's file is shared."""
    error: CellError | None = None
    bad_input: bool = False
    """Is the person's input the reason?"""


@dataclass(frozen=True, slots=True)
class SomeItems:
    """Items of the present job."""

    header: ResultsHeader
    items: tuple[Found, ...]


Told = Hello | DenseLoaded | SomeItems | JobDone
"""What a process says."""


def main() -> None:
    """Works until the socket closes; its number and the worker's name are the arguments."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that started this one
    connection, name = Connection(int(sys.argv[1])), sys.argv[2]
    asked: SimpleQueue[PairSpec | Job] = SimpleQueue()
    Thread(target=_listen, args=(connection, asked), daemon=True, name="listening").start()
    try:
        _work(connection, asked, name)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)


def _listen(connection: Connection, asked: SimpleQueue[PairSpec | Job]) -> None:
    """Takes what is asked; a computation goes on meanwhile, and ends with the process if nobody waits for it."""
    while True:
        try:
            asked.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _work(connection: Connection, asked: SimpleQueue[PairSpec | Job], name: str) -> None:
    import torch

    from probes.sweep.worker import CellWorker

    connection.send(Hello(own_versions(), torch.cuda.device_count()))
    worker = CellWorker(name)
    while True:
        wanted = asked.get()
        if isinstance(wanted, PairSpec):
            connection.send(_loaded(worker, wanted))
            continue
        for found in worker.steps(wanted):
            connection.send(SomeItems(found.header, found.items) if isinstance(found, ItemsFound) else found)


def _loaded(worker: CellWorker, spec: PairSpec) -> DenseLoaded:
    import psutil

    try:
        facts = worker.dense(spec)
    except PhierError as problem:
        error = CellError(problem.title, problem.message, problem.hint)
        return DenseLoaded(spec, error=error, bad_input=isinstance(problem, BadInput))
    except Exception as problem:  # noqa: BLE001 - a model that can't be loaded is an answer
        return DenseLoaded(spec, error=CellError("Unexpected error", said(problem)))
    memory = psutil.Process().memory_info()
    return DenseLoaded(spec, facts, memory.rss - getattr(memory, "shared", 0))
