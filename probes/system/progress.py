"""Reports the progress of slow work, and stops the work if the person asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from probes.schema.errors import Cancelled
from probes.schema.events import WorkProgressed

READING_PROMPT = "Reading the prompt"
"""The name of the prefill's work, which the interface shows before the models begin."""


@dataclass(frozen=True, slots=True)
class Work:
    """The listener to the progress of slow work, its stop signal, and its notes. Made once at the top and passed
    down."""

    progress: Callable[[WorkProgressed], None] | None = None
    cancelled: Callable[[], bool] | None = None
    """Has the person stopped the work?"""
    notes: list[str] = field(default_factory=list)
    """Sentences about how the work was done, for the notes of its result."""

    def apart(self) -> Work:
        """The same listener and stop signal, with separate notes."""
        return Work(self.progress, self.cancelled)

    def note(self, sentence: str) -> None:
        """Adds a sentence that a reader of the result must know, unless it is already there."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def report(self, task: str, done: float | None = None, total: float | None = None, unit: str = "") -> None:
        """Reports how far the task is. Raises `Cancelled` if the person has stopped it."""
        self.check(task)
        if self.progress is not None:
            self.progress(WorkProgressed(task, done, total, unit))

    def check(self, task: str) -> None:
        """Raises `Cancelled` if the person has stopped the work."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled(task)


UNWATCHED = Work()
"""Work without a listener or a stop signal. Call `apart` before adding notes."""
