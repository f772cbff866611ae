"""A thread that does one job after another, each of which can be cancelled, and something of its own in between."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Stopping = Callable[[], bool]
"""Asked by a slow job: True if it should stop."""


@dataclass(slots=True)
class Job:
    """One thing to do."""

    work: Callable[[Stopping], None]
    request: int
    cancelled: threading.Event = field(default_factory=threading.Event)


class Lane:
    """Jobs in the order in which they were put; the thread starts with the first."""

    def __init__(
        self,
        name: str,
        failed: Callable[[int, Exception], None],
        between: Callable[[], bool] = lambda: False,
    ) -> None:
        """`failed` gets the request of a job that raised, and what it raised. `between` is called while no job waits:
        it does a little, and returns False if there was nothing to do; the lane then waits for a job or for `wake`."""
        self._failed = failed
        self._between = between
        self._jobs: deque[Job] = deque()
        self._job: Job | None = None
        """The one that is being done."""
        self._news = threading.Condition()
        self._woken = False
        self._closed = False
        self._waiting = True
        """True while the thread has nothing to do."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def put(self, work: Callable[[Stopping], None], request: int = 0) -> None:
        """Adds a job, which does what the request asks for; a closed lane takes none."""
        with self._news:
            if not self._closed:
                self._jobs.append(Job(work, request))
                self._notify()

    def wake(self) -> None:
        """Has `between` called again: there may be something to do."""
        with self._news:
            self._woken = True
            self._notify()

    def cancel(self, request: int = 0) -> None:
        """Asks the job of a request to stop, or every job that was put so far."""
        with self._news:
            for job in (self._job, *self._jobs):
                if job is not None and request in (0, job.request):
                    job.cancelled.set()

    def wait_idle(self, seconds: float) -> bool:
        """Waits until there is nothing to do; False if that took longer."""
        with self._news:
            return self._news.wait_for(lambda: self._waiting and not (self._jobs or self._woken), seconds)

    def close(self, seconds: float = 1.0) -> bool:
        """Cancels everything and waits so long for the thread to end; True if it has."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _notify(self) -> None:
        if self._thread.ident is None and not self._closed:
            self._thread.start()
        self._news.notify_all()

    def _work(self) -> None:
        while not self._closed:
            with self._news:
                self._waiting = self._woken = False
                self._job = self._jobs.popleft() if self._jobs else None
            try:
                if self._job is not None:
                    self._job.work(self._stops(self._job))
                    busy = True
                else:
                    busy = self._between()
            except Exception as problem:  # noqa: BLE001 - the one boundary of this thread: somebody must hear of it
                self._failed(self._job.request if self._job else 0, problem)
                busy = True
            with self._news:
                self._job = None
                if not (busy or self._jobs or self._woken or self._closed):
                    self._waiting = True
                    self._news.notify_all()
                    self._news.wait_for(lambda: self._jobs or self._woken or self._closed)
        with self._news:
            self._jobs.clear()
            self._waiting, self._woken = True, False
            self._news.notify_all()

    def _stops(self, job: Job) -> Stopping:
        return lambda: job.cancelled.is_set() or self._closed


@dataclass(eq=False, slots=True)
class _Turn:
    brief: bool


class Turns:
    """A lock that goes to whoever has waited longest, so that a lane that always has work lets another one in."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[_Turn] = deque()

    @contextmanager
    def turn(self, *, brief: bool = False) -> Iterator[None]:
        """Waits for one's turn, and has it while the block lasts. A `brief` one needs nothing but the turn: whoever has
        it may let such a one in between, even while holding a lock."""
        mine = _Turn(brief)
        with self._changed:
            self._waiting.append(mine)
            self._changed.wait_for(lambda: self._waiting[0] is mine)
        try:
            yield
        finally:
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()

    def pass_on(self) -> None:
        """Lets everybody who waits have a turn, and then has it again; called by whoever has the turn.

        Unless all of them are brief, nobody is let in: one might wait for a lock that the caller holds.
        """
        with self._changed:
            mine = self._waiting[0]
            if all(other.brief for other in self._waiting if other is not mine):
                self._waiting.rotate(-1)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting[0] is mine)
