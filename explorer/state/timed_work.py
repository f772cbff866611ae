"""Slow work with its speed, from the events of its progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from probes.schema.events import WorkProgressed

Clock = Callable[[], float]
PACE_WINDOW, PACE_STEADY = 20.0, 3.0
"""Seconds over which the rate of slow work is measured, and seconds after which its time left is shown: a download
begins slowly."""


@dataclass(frozen=True, slots=True)
class TimedWork:
    """Slow work with its speed, as far as the speed is known."""

    progress: WorkProgressed
    rate: float | None = None
    """Units a second over the last while, None while unknown."""
    steady: bool = False
    """True once the rate was measured long enough to estimate when the work is done."""
    began: float = 0.0
    """The time of its first event, by the view's clock."""

    @property
    def share(self) -> float | None:
        done, total = self.progress.done, self.progress.total
        return min(1.0, done / total) if done is not None and total else None

    @property
    def left(self) -> float | None:
        """Seconds to go; None while unknown, and once all is done."""
        done, total = self.progress.done, self.progress.total
        if not self.steady:
            return None
        return (total - done) / self.rate if self.rate and done is not None and total and done < total else None


class WorkTimer:
    """Measures the rate of the work in progress."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pace: deque[tuple[float, float]] = deque()
        """Times and the amount of work done by then, over the last `PACE_WINDOW` seconds."""

    def timed(self, event: WorkProgressed, before: TimedWork | None) -> TimedWork:
        """The work once this event has arrived; `before` is the work in progress until then."""
        now = self._clock()
        done = event.done or 0.0
        same = before is not None and before.progress.task == event.task
        if not same or (self._pace and done < self._pace[-1][1]):
            self._pace.clear()
        self._pace.append((now, done))
        while len(self._pace) > 2 and now - self._pace[1][0] >= PACE_WINDOW:
            self._pace.popleft()
        start, first = self._pace[0]
        rate = (done - first) / (now - start) if now > start and done > first else None
        began = before.began if same and before is not None else now
        return TimedWork(event, rate, now - start >= PACE_STEADY, began)
