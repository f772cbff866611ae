"""Computes the cells of a sweep in other processes of this machine, each with a dense model and a twin of its own.

On a CPU the cores are divided among them. The weights of a checkpoint that is not converted are mapped from its file,
and all processes share that memory. On GPUs each process has one device.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path

import psutil

from probes.schema.errors import BadInput, Failure, PhierError
from probes.schema.spec import PairSpec
from probes.sweep.executors.process_worker import DenseLoaded, Hello, SomeItems, Told
from probes.sweep.jobs import DenseFacts, ItemsFound, Job, JobDone, WorkerJoined, WorkerLost
from probes.sweep.versions import check_versions
from probes.system.progress import UNWATCHED, Work
from probes.system.subprocesses import PATIENCE, Ended

_LOOK = 0.2
"""Seconds between two looks at whether the work is cancelled."""
_MOST_REPLACED = 20
"""Processes that died and were replaced; more deaths have a reason that starting again does not remove."""
_STARTING, _CELLS = "Starting processes", "Cells"
_PROGRAM = "from probes.sweep.executors.process_worker import main; main()"
_AGAIN = "Give the same command again: the sweep goes on. Use fewer processes (--workers) if memory ran out."


@dataclass(eq=False)
class _Process:
    """One of the processes."""

    name: str
    place: int
    """Counted from 0; the number of its GPU, if there are any."""
    running: subprocess.Popen[bytes]
    connection: Connection
    log: Path
    """What it writes, which is read if it dies."""
    greeted: bool = False
    """Has it said that it has the same versions?"""
    asked: bool = False
    """Was it told to load the dense model?"""
    ready: bool = False
    """Has it loaded the dense model?"""
    job: Job | None = None


class Processes:
    """Some processes, each of which does one job at a time.

    If `most` is 0, there are as many as GPUs, or else as cores. No more are started than memory allows: each needs what
    the first one has for itself after loading, and once more the weights, for its twin. On a CPU each computes with its
    share of the cores as threads, unless the plan states threads, so that its figures are to the bit those of one
    process with as many threads.
    """

    def __init__(self, most: int = 0, say: Callable[[str], None] = lambda _: None) -> None:
        """Starts the processes; all but one wait until that has loaded the model, and says how much memory it needs.
        `say` is given a sentence on processes that are left out, and on each one that dies."""
        self._asked, self._say = most, say
        self._threads = max(1, _cores() // (most or _cores()))
        self._gpus = 0
        self._spec: PairSpec | None = None
        self._facts: DenseFacts | None = None
        self._events: deque[tuple[str, JobDone] | ItemsFound | WorkerLost | WorkerJoined] = deque()
        self._folder = tempfile.TemporaryDirectory(prefix="phier-", ignore_cleanup_errors=True)
        self._started = self._replaced = 0
        self._alive: list[_Process] = []
        for _ in range(most or 1):
            self._start()

    @property
    def names(self) -> tuple[str, ...]:
        """The processes that have loaded the dense model and are alive: "process 1"."""
        return tuple(one.name for one in self._alive if one.ready)

    def dense(self, spec: PairSpec, work: Work = UNWATCHED) -> DenseFacts:
        """What the dense model of all processes is. Returns when the first one has loaded it; the others join later.

        Raises what loading raises, and `Failure` if no process can be started.
        """
        self._spec, self._facts = spec, None
        for one in self._alive:
            one.ready = one.asked = False
        while self._facts is None:
            if not self._alive:
                lost = self._events.pop()
                assert isinstance(lost, WorkerLost), "a process that is not alive was lost"
                raise Failure("No workers", f"The processes have died: {lost.why}", _AGAIN)
            self._load(self._alive[0], spec)
            work.report(_STARTING, 0, None, "workers")
            self._look()
        self._events.clear()
        return self._facts

    def give(self, worker: str, job: Job) -> None:
        """Gives an idle process a job. If it has died, the next `wait` says so."""
        one = next(process for process in self._alive if process.name == worker)
        assert one.job is None, "a process does one job at a time"
        one.job = job
        self._tell(one, replace(job, spec=self._on_device(one, job.spec)))

    def wait(self, work: Work = UNWATCHED) -> tuple[str, JobDone] | ItemsFound | WorkerLost | WorkerJoined:
        """What happens next. Raises `Cancelled`."""
        # While others are being started, it is not said yet that the only one has died.
        while not self._events or not (self.names or all(one.ready for one in self._alive)):
            work.check(_CELLS)
            if not self._alive:
                raise Failure("No workers", "All processes have died.", _AGAIN)
            self._look()
        return self._events.popleft()

    def close(self) -> None:
        """Ends the processes at once; jobs that are being done are given up."""
        for one in self._alive:
            one.connection.close()
        for one in self._alive:
            _wait_for_end(one.running)
        self._alive = []
        self._folder.cleanup()

    # Processes ----------------------------------------------------------------------------------------------------

    def _start(self, place: int | None = None) -> None:
        """Starts a process, by default at the next place."""
        place = self._started if place is None else place
        self._started += 1
        name = f"process {self._started}"
        log = Path(self._folder.name, f"{self._started}.log")
        ours, theirs = socket.socketpair()
        # -P: none of its modules are taken from the folder from which the program is started.
        command = [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), name]
        with theirs, log.open("wb") as output:
            running = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": str(self._threads),
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # the same modules as here
                },
            )
        self._alive.append(_Process(name, place, running, Connection(ours.detach()), log))

    def _load_others(self, loaded: DenseLoaded, spec: PairSpec) -> None:
        """As many as there shall be and there is memory for, when the first one has loaded the model."""
        facts = loaded.facts
        assert facts is not None, "it was loaded"
        number = self._number(facts, spec)
        if facts.device == "cpu":
            each = loaded.private_bytes + facts.bytes
            room = 1 + max(0, psutil.virtual_memory().available - facts.bytes) // max(1, each)
            if room < number:
                of = f"{room} of {number} processes"
                self._say(f"Memory is enough for {of}: each needs {each / 1e9:,.1f} GB for itself.")
                number = room
        for one in self._alive[number:]:
            self._end(one)
        for _ in range(number - len(self._alive)):
            self._start()
        for one in self._alive:
            self._load(one, spec)

    def _number(self, facts: DenseFacts, spec: PairSpec) -> int:
        if self._has_own_gpu(spec):
            return min(self._asked or self._gpus, self._gpus)
        return self._asked or (_cores() if facts.device == "cpu" else 1)

    def _look(self) -> None:
        """Takes what the processes say within a moment."""
        by_connection = {one.connection: one for one in self._alive}
        for found in wait_for(list(by_connection), timeout=_LOOK):
            assert isinstance(found, Connection), "only connections are waited for"
            one = by_connection[found]
            if one not in self._alive:
                continue  # it was ended meanwhile
            try:
                said = found.recv()
            except (EOFError, OSError, pickle.UnpicklingError):
                self._lost(one)
                continue
            self._heard(one, said)

    def _heard(self, one: _Process, said: Told) -> None:
        match said:
            case Hello():
                self._greeted(one, said)
            case DenseLoaded():
                if self._spec is not None and said.spec == self._on_device(one, self._spec):  # not an earlier one
                    self._loaded(one, said, self._spec)
            case SomeItems(header, items):
                assert one.job is not None, "it does a job"
                self._events.append(ItemsFound(one.name, one.job, header, items))
            case JobDone():
                one.job = None
                self._events.append((one.name, said))

    def _greeted(self, one: _Process, hello: Hello) -> None:
        try:
            check_versions(hello.versions, one.name)
        except BadInput as problem:
            self._refuse(one, problem)
            return
        one.greeted, self._gpus = True, hello.gpus
        if self._facts is not None and self._spec is not None:
            self._load(one, self._spec)

    def _loaded(self, one: _Process, loaded: DenseLoaded, spec: PairSpec) -> None:
        if loaded.error is not None:
            kind: type[PhierError] = BadInput if loaded.bad_input else Failure
            self._refuse(one, kind(loaded.error.title, loaded.error.message, loaded.error.hint))
            return
        if self._facts is not None and loaded.facts is not None and not _same(self._facts, loaded.facts):
            message = f"The dense model has changed since the first process loaded it ({one.name} has another one)."
            self._refuse(one, BadInput("Other dense model", message, "Start again when its files stay as they are."))
            return
        one.ready = True
        if self._facts is None:
            self._facts = loaded.facts
            self._load_others(loaded, spec)
        else:
            self._events.append(WorkerJoined(one.name))

    def _refuse(self, one: _Process, problem: PhierError) -> None:
        """Without the first process nothing can be done; the sweep goes on without another one."""
        if self._facts is None:
            raise problem
        self._say(f"{one.name} was left out. {problem}")
        self._end(one)

    def _load(self, one: _Process, spec: PairSpec) -> None:
        if one.greeted and not one.asked:
            one.asked = True
            self._tell(one, self._on_device(one, spec))

    def _on_device(self, one: _Process, spec: PairSpec) -> PairSpec:
        """The models on this process's own GPU, unless the person named a device or spread the model."""
        if not self._has_own_gpu(spec):
            return spec
        return replace(spec, load=replace(spec.load, device=f"cuda:{one.place % self._gpus}"))

    def _has_own_gpu(self, spec: PairSpec) -> bool:
        return self._gpus > 0 and not spec.load.device_map and spec.load.device in ("auto", "cuda")

    def _tell(self, one: _Process, message: PairSpec | Job) -> None:
        with suppress(OSError):  # it has died, which the next look finds
            one.connection.send(message)

    def _end(self, one: _Process) -> None:
        self._alive.remove(one)
        one.connection.close()
        _wait_for_end(one.running)

    def _lost(self, one: _Process) -> None:
        """Starts another process in the place of one that could compute: a cell that kills several is given up, and
        the others go on."""
        self._end(one)
        why = Ended(one.running.returncode, one.log.read_text("utf-8", "replace")).last_words
        self._events.append(WorkerLost(one.name, one.job, f"{one.name}: {why}."))
        if one.ready and self._replaced < _MOST_REPLACED:
            self._replaced += 1
            self._start(one.place)
            self._say(f"{one.name} has died: {why}. Another process takes its place.")
        else:
            self._say(f"{one.name} has died: {why}.")


def _same(one: DenseFacts, other: DenseFacts) -> bool:
    return replace(one, second_per_token=0) == replace(other, second_per_token=0)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wait_for_end(running: subprocess.Popen[bytes]) -> None:
    try:
        running.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
