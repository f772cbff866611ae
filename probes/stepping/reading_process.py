"""A forked process that reads with a model beside this one, which has the same model.

Small operations of a pass hold Python's lock, so two passes in one process wait for each other, and in two processes
they do not. A fork shares all weights, and costs some milliseconds. The process changes nothing that this one sees: it
answers requests over a connection, and puts its outputs into memory that both have.

A fork copies locks as they are at that moment, and only the thread that forks. So the process computes in a new thread,
and must answer a first request in time. A process that does not, or that ends, is lost: `ProcessLost`.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import pickle
import signal
import threading
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.schema.errors import Failure
from probes.schema.foreign_text import said
from probes.stepping.cached_model import CachedModel, Context, Held, NextTokenOutput
from probes.stepping.sent_cache import receive, send
from probes.stepping.short_pass import ShortPass
from probes.system.progress import Work

PATIENCE = 60.0
"""Seconds in which the process must have read its first token."""
_TICK = 0.1
"""Seconds between two looks at whether a long reading is to be stopped."""
_STOP, _COUNTER, _OUTPUT = 0, 8, 16
"""Places in the shared memory: whether to stop, how many tokens are read, and the output."""
_Outline = tuple[tuple[int, ...], torch.dtype]


class ProcessLost(Exception):
    """The process has ended, and all caches that it had."""


def why_lost(problem: ProcessLost | OSError) -> str:
    """A sentence on a process that could not be begun, and on what is done instead."""
    why = f"could not be started ({said(problem)})" if isinstance(problem, OSError) else "did not answer"
    return f"The dense model's own process {why}, so both models compute in threads of one process."


class ReadingProcess:
    """The process, with models of the same weights by number, each with its cache. One request at a time."""

    def __init__(self, model: PreTrainedModel, threads: int) -> None:
        """For a model that computes with so many threads. It can be asked once it was begun (`begin`)."""
        self.turn = threading.Lock()
        """Held from a request to its answer."""
        self._model, self._threads = model, threads
        self._last = 0
        self._gone: deque[int] = deque()
        """Numbers of models that are not needed any more."""
        self.pid = 0
        self._code: int | None = None
        self.closed = self._told = False
        """`closed`: was it ended here?"""

    def begin(self, short: ShortPass | None = None) -> None:
        """Forks, and waits until the process has read a first token. `short` reads single tokens of the model here, and
        there from then on.

        Raises `ProcessLost` if it does not read in time, and OSError if the system allows no further process.
        """
        template = CachedModel(self._model)
        if short is not None:
            template.short = short
        embeddings = next(self._model.get_input_embeddings().parameters())
        self._shared = mmap.mmap(-1, _OUTPUT + 8 * (sum(embeddings.shape) + 1024))
        self._connection, other = Pipe()
        if not gc.get_freeze_count():
            # Looking for garbage writes to every object, which would copy the pages that both have: a hundred megabytes
            # of modules. What is made from here on is looked through as ever.
            gc.freeze()
        with warnings.catch_warnings():
            # Python warns of forking while there are threads. What they held is dealt with as the module says.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            _live(other, self._shared, template, self._threads)
        other.close()
        self._close = weakref.finalize(self, _end, os.getpid(), self.pid, self._connection)
        self._say("read", self.new_number(), [[0]])
        try:
            if not self._connection.poll(PATIENCE):
                raise ProcessLost
            self._answer()
        except BaseException as problem:
            self.close()
            if isinstance(problem, Exception):
                raise ProcessLost from problem
            raise

    @property
    def alive(self) -> bool:
        """Can it be asked?"""
        if not self.pid:
            return False
        if self._code is None and not self.closed:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code is None and not self.closed

    def take_news(self) -> str:
        """A sentence, once, if the process has ended and was not ended here; otherwise ""."""
        if not self.pid or self.alive or self.closed or self._told:
            return ""
        self._told = True
        code = self._code or 0
        how = (
            f"was ended by signal {-code}, which happens if memory runs out" if code < 0 else f"ended with code {code}"
        )
        return (
            f"The process that computed the dense model {how}. Both models compute in threads of one process from here "
            "on, which is slower. They may have read the text again, so the last digits of figures may differ."
        )

    def new_number(self) -> int:
        """A number for another model."""
        self._last += 1
        return self._last

    def free(self, number: int) -> None:
        """Lets the process free a model with its next request. Never waits."""
        self._gone.append(number)

    def ask_to_read(self, number: int, contexts: Sequence[Context], positions: int = 1) -> None:
        """Begins to read with a model, for the outputs at so many of the last positions. The caller holds the turn
        until `output` or `drop`."""
        self._shared[_STOP] = 0
        self._shared[_COUNTER:_OUTPUT] = bytes(8)
        self._say("read", number, [list(context) for context in contexts], positions)

    def wait(self, tick: Callable[[int], None]) -> None:
        """Waits until the output is there. Meanwhile `tick` gets the number of tokens that are read, and may raise."""
        while not self._connection.poll(_TICK):
            tick(int.from_bytes(self._shared[_COUNTER:_OUTPUT], "little"))

    def output(self) -> NextTokenOutput:
        """The output. Raises what reading raised."""
        outlines = self._answer()
        if isinstance(outlines, NextTokenOutput):
            return outlines
        hidden, logits = (one.clone() for one in _places(self._shared, outlines))
        return NextTokenOutput(hidden, logits)

    def drop(self) -> None:
        """Stops the reading, and waits until it has ended."""
        self._shared[_STOP] = 1
        with contextlib.suppress(Exception):
            self._answer()

    def held(self, number: int) -> Held:
        """What a model has read."""
        self._say("give", number)
        held: Held = self._answer()
        return held

    def take(self, number: int, held: Held) -> None:
        """Gives a model what it is to have read."""
        self._say("take", number, held if held.rows != [[]] else None)

    def copy(self, number: int, other: int) -> None:
        """Makes another model that has read the same."""
        self._say("copy", number, other)

    def close(self) -> None:
        """Ends the process. It can't be begun again."""
        self.closed = True
        if self.pid:
            self._close()

    def _say(self, what: str, *given: object) -> None:
        gone = [self._gone.popleft() for _ in range(len(self._gone))]
        try:
            send(self._connection, (what, given, gone))
        except OSError as problem:
            raise self._lost() from problem

    def _answer(self) -> Any:
        try:
            answer = receive(self._connection)
        except (EOFError, OSError, pickle.UnpicklingError) as problem:
            raise self._lost() from problem
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _lost(self) -> ProcessLost:
        for _ in range(100):  # its end can be seen on the connection before it is one for the system
            if not self.alive:
                break
            time.sleep(0.01)
        else:
            self.close()  # it sends what can't be read
        return ProcessLost()


def _end(owner: int, pid: int, connection: Connection) -> None:
    """Ends a process. It keeps nothing that would be lost."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.close()


# In the process -----------------------------------------------------------------------------------------------------


def _live(connection: Connection, shared: mmap.mmap, template: CachedModel, threads: int) -> NoReturn:
    """The life of the process: it answers until the other end is closed, by the end of the process that forked it too.

    It lets go of everything else that it got by the fork: files, locks on them, the terminal, keys that stop a program.
    """
    try:
        signal.set_wakeup_fd(-1)
        for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH):
            signal.signal(one, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        own = connection.fileno()
        for number in {0, 1, 2} - {own}:
            os.dup2(nothing, number)
        os.closerange(3, own)
        os.closerange(max(own + 1, 3), os.sysconf("SC_OPEN_MAX"))
        gc.freeze()  # looking through what both have would copy its pages
        thread = threading.Thread(target=_serve, args=(connection, shared, template, threads))
        thread.start()
        thread.join()
    finally:
        os._exit(0)


def _serve(connection: Connection, shared: mmap.mmap, template: CachedModel, threads: int) -> None:
    torch.set_num_threads(threads)
    answers = _Answers(shared, template)
    with contextlib.suppress(EOFError, OSError), torch.inference_mode():
        while True:
            what, given, gone = receive(connection)
            for number in gone:
                answers.models.pop(number, None)
            try:
                answer = getattr(answers, what)(*given)
            except BaseException as problem:  # noqa: BLE001 - whatever it is, the other process is told
                answer = _portable(problem)
            if answer is not None:
                send(connection, answer)
            answer = None


class _Answers:
    """What the process does for each request; None is not sent."""

    def __init__(self, shared: mmap.mmap, template: CachedModel) -> None:
        self.models: dict[int, CachedModel] = {}
        self._shared = shared
        self._template = template

    def read(self, number: int, contexts: list[list[int]], positions: int = 1) -> object:
        def progress(read: object) -> None:
            done = int(getattr(read, "done", None) or 0)
            self._shared[_COUNTER:_OUTPUT] = done.to_bytes(8, "little")

        work = Work(progress, lambda: bool(self._shared[_STOP]))
        output = self._model(number).read_some(contexts, work, positions)
        tensors = output.hidden, output.logits
        outlines = [(tuple(one.shape), one.dtype) for one in tensors]
        if sum(one.nbytes + 8 for one in tensors) > len(self._shared) - _OUTPUT:
            return output
        for place, one in zip(_places(self._shared, outlines), tensors, strict=True):
            place.copy_(one)
        return outlines

    def give(self, number: int) -> Held:
        return self._model(number)._held

    def take(self, number: int, held: Held | None) -> None:
        self._model(number)._held = held or self._template.apart()._held

    def copy(self, number: int, other: int) -> None:
        self.models[other] = self._model(number).apart()

    def _model(self, number: int) -> CachedModel:
        if number not in self.models:
            self.models[number] = self._template.apart()
        return self.models[number]


def _places(shared: mmap.mmap, outlines: object) -> list[Tensor]:
    """The tensors in the shared memory, one after another."""
    found, start = [], _OUTPUT
    assert isinstance(outlines, list)
    for shape, dtype in outlines:
        count = torch.Size(shape).numel()
        found.append(torch.frombuffer(shared, dtype=dtype, count=count, offset=start).view(shape))
        start += -(-count * dtype.itemsize // 8) * 8
    return found


def _portable(problem: BaseException) -> BaseException:
    """The error itself, if it can be sent; otherwise one that says the same."""
    problem.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(problem))
    except Exception:  # noqa: BLE001 - an error of any kind, in whatever way it can't be sent
        return Failure("The dense model failed", f"{type(problem).__name__}: {problem}")
    return problem.with_traceback(None)
