"""A thread that does one job after another, each of which can be cancelled, and other work between them."""

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


class _LaneThread(threading.Thread):
    """The thread of a lane."""


def lanes_at_work() -> bool:
    """Has the thread of any lane not ended, whether its lane was closed or not?"""
    return any(isinstance(thread, _LaneThread) for thread in threading.enumerate())


class Lane:
    """Does jobs in the order in which they were put. The thread starts with the first job."""

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
        """The job in progress."""
        self._news = threading.Condition()
        self._woken = False
        self._closed = False
        self._waiting = True
        """True while the thread has nothing to do."""
        self._thread = _LaneThread(target=self._work, name=name, daemon=True)

    def put(self, work: Callable[[Stopping], None], request: int = 0) -> None:
        """Adds a job, which does what the request asks for; a closed lane takes none."""
        with self._news:
            if not self._closed:
                self._jobs.append(Job(work, request))
                self._notify()

    def wake(self) -> None:
        """Makes the thread call `between` again, as there may be something to do."""
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
        """Cancels everything and waits up to `seconds` for the thread to end; True if it has ended."""
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
            except Exception as problem:  # noqa: BLE001 - the one boundary of this thread: every failure is reported
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
    """A lock that goes to the thread that has waited longest, so that a busy lane can't keep another one out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[_Turn] = deque()

    @contextmanager
    def turn(self, *, brief: bool = False) -> Iterator[None]:
        """Waits for the lock, and holds it while the block lasts.

        A `brief` turn needs no other lock, so `pass_on` may let it in between.
        """
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

    def pass_on(self, *, everybody: bool = False) -> None:
        """Lets every waiting thread have its turn, then takes the lock again. The caller must hold the lock.

        Nobody is let in unless all waiting turns are brief: another one might wait for a lock that the caller holds.
        A caller that holds none lets `everybody` in.
        """
        with self._changed:
            mine = self._waiting[0]
            if everybody or all(other.brief for other in self._waiting if other is not mine):
                self._waiting.rotate(-1)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting[0] is mine)
