"""The errors that people see: each has a title, a sentence on what happened, and a hint on what to do."""

from __future__ import annotations

from enum import StrEnum


class FailureKind(StrEnum):
    """The kind of a failure, for code that handles kinds differently."""

    FAILURE = "failure"
    BAD_INPUT = "bad_input"
    CANCELLED = "cancelled"
    """A person stopped the work; this is not an error."""
    UNEXPECTED = "unexpected"
    """A mistake in the program, or in a library."""
    NEEDS_MODELS = "needs_models"
    """A recording can't answer, because the models must measure something."""
    PARTLY_READ = "partly_read"
    """Some lines of a recording can't be read."""
    NOT_RECORDED = "not_recorded"
    """The lines of a recording can't be written; they are kept in memory."""
    RECORDING_MOVED = "recording_moved"
    """Another program has changed the recording, which continues in a new file."""
    OTHER_FIGURES = "other_figures"
    """The models of a recording now give other figures than the recorded ones."""


class PhierError(Exception):
    """An error for people, understandable without a traceback."""

    kind = FailureKind.FAILURE
    exit_code = 1
    """The exit code of a command: 2 means bad input, 1 means the work failed."""

    def __init__(self, title: str, message: str, hint: str = "") -> None:
        super().__init__(f"{title}: {message}")
        self.title = title
        """Three or four words, for a dialog's frame."""
        self.message = message
        """One or two sentences on what happened."""
        self.hint = hint
        """A sentence on what to do; empty if the message says it already."""

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.title}: {self.message}", self.hint) if part)

    def __reduce__(self) -> tuple[object, ...]:
        return _received, (type(self), self.title, self.message, self.hint)


def _received(kind: type[PhierError], title: str, message: str, hint: str) -> PhierError:
    """The error that another process has sent."""
    problem = kind.__new__(kind)
    PhierError.__init__(problem, title, message, hint)
    return problem


class BadInput(PhierError):
    """The person's input can't be used."""

    kind = FailureKind.BAD_INPUT
    exit_code = 2


class Failure(PhierError):
    """The work failed: memory, disk, network, or a broken model."""


class Cancelled(PhierError):
    """The person stopped slow work; this is not an error."""

    kind = FailureKind.CANCELLED

    def __init__(self, what: str) -> None:
        super().__init__("Cancelled", f"{what} was cancelled.")
