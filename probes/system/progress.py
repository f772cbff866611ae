"""A slow piece of work, as its caller sees it: it reports how far it is, and it can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from probes.schema.errors import Cancelled
from probes.schema.events import WorkProgressed

READING_PROMPT = "Reading the prompt"
"""The name of this piece of work, which the interface shows before the models begin it."""


@dataclass(frozen=True, slots=True)
class Work:
    """Who hears of the progress, who can stop the work, and the notes on it. Made once at the top and passed down."""

    progress: Callable[[WorkProgressed], None] | None = None
    cancelled: Callable[[], bool] | None = None
    """Has somebody stopped the work?"""
    notes: list[str] = field(default_factory=list)
    """Sentences about how it was done, for the notes on what it made."""

    def apart(self) -> Work:
        """The same listener and the same stop, with notes of its own."""
        return Work(self.progress, self.cancelled)

    def note(self, sentence: str) -> None:
        """Keeps a sentence that a reader of the result must know, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def report(self, task: str, done: float | None = None, total: float | None = None, unit: str = "") -> None:
        """Reports how far the task is, and stops it if that was asked for."""
        self.check(task)
        if self.progress is not None:
            self.progress(WorkProgressed(task, done, total, unit))

    def check(self, task: str) -> None:
        """Raises `Cancelled` if the person has stopped the work."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled(task)


UNWATCHED = Work()
"""Nobody hears of it and nobody stops it. Take it `apart` before notes are made."""
