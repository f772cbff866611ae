"""A slow piece of work, as its caller sees it: it tells how far it is, and it can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from probes.schema.errors import Cancelled
from probes.schema.events import WorkProgressed


@dataclass(frozen=True, slots=True)
class Work:
    """Whom to tell, and whom to ask whether to go on; both may be absent."""

    progress: Callable[[WorkProgressed], None] | None = None
    cancelled: Callable[[], bool] | None = None
    notes: list[str] = field(default_factory=list)
    """Sentences about how it was done, for the notes on what it made."""

    def note(self, sentence: str) -> None:
        """Keeps a sentence that a reader of the result must know, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def tell(self, task: str, done: float | None = None, total: float | None = None, unit: str = "") -> None:
        """Reports how far the task is, and stops it where that was asked for."""
        self.check(task)
        if self.progress is not None:
            self.progress(WorkProgressed(task, done, total, unit))

    def check(self, task: str) -> None:
        """Raises `Cancelled` where the person has stopped the work."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled(task)
