"""A dask cluster of real processes on this machine: a scheduler, and workers that can be killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from tests.support.forked import Program, with_torch


@dataclass(eq=False)
class DaskCluster:
    """The scheduler's address, and its workers by their addresses."""

    address: str
    folder: Path
    options: Sequence[str] = ()
    workers: dict[str, Program] = field(default_factory=dict)

    def start_workers(self, count: int) -> list[str]:
        """Starts workers without a nanny, so that nothing starts them again. Returns their addresses."""
        here = ["--local-directory", str(self.folder), "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]
        begun = [
            _start("worker", self.address, "--no-nanny", "--host", "127.0.0.1", *here, *self.options)
            for _ in range(count)
        ]
        found = {_address(worker, "Start worker at:"): worker for worker in begun}
        self.workers |= found
        return list(found)

    def kill(self, worker: str) -> None:
        process = self.workers.pop(worker)
        process.kill()
        process.wait()


@contextmanager
def dask_cluster(folder: Path, count: int, options: Sequence[str] = ()) -> Iterator[DaskCluster]:
    """A scheduler and so many workers. `options` are for TLS."""
    scheduler = _start(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0", *options
    )
    cluster = None
    try:
        cluster = DaskCluster(_address(scheduler, "Scheduler at:"), folder, options)
        cluster.start_workers(count)
        yield cluster
    finally:
        for process in (*(cluster.workers.values() if cluster else ()), scheduler):
            process.kill()
            process.wait()


def _start(*words: str) -> Program:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = "import sys; sys.argv[0] = 'dask'; from dask.__main__ import main; main()"
    return with_torch().start(program, *words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _address(process: Program, mark: str) -> str:
    """The address that a process prints when it has begun."""
    assert process.stderr is not None
    for line in process.stderr:
        if mark.encode() in line:
            Thread(target=process.stderr.read, daemon=True).start()  # so that it never waits for a reader
            return line.decode().rsplit(maxsplit=1)[-1]
    raise AssertionError("it ended before it had an address")
