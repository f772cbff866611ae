"""What can go wrong, said to a person: every error carries a title, a sentence and a next step."""

from __future__ import annotations

from enum import StrEnum


class FailureKind(StrEnum):
    """The kind of a failure, for those who do more than show it."""

    FAILURE = "failure"
    BAD_INPUT = "bad_input"
    CANCELLED = "cancelled"
    """A person has stopped the work; nothing is wrong."""
    UNEXPECTED = "unexpected"
    """A mistake in the program, or in a library."""
    NEEDS_MODELS = "needs_models"
    """A recording was asked for something that has to be measured."""
    PARTLY_READ = "partly_read"
    """Some lines of a recording can't be read."""
    NOT_RECORDED = "not_recorded"
    """The disk refuses the lines of a recording; they are in memory."""
    RECORDING_MOVED = "recording_moved"
    """Another program has changed the recording; it goes on in a new file."""
    OTHER_FIGURES = "other_figures"
    """The models of a recording give other figures than the recorded ones."""


class PhierError(Exception):
    """An error meant to be read by a person; it never needs a traceback to be understood."""

    kind = FailureKind.FAILURE
    exit_code = 1
    """What a command ends with: 1 for a failure, 2 for input that can't be used."""

    def __init__(self, title: str, message: str, hint: str = "") -> None:
        super().__init__(f"{title}: {message}")
        self.title = title
        """Three or four words, for a dialog's frame."""
        self.message = message
        """What happened, in one or two sentences."""
        self.hint = hint
        """What to do about it; empty where the message says it already."""

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.title}: {self.message}", self.hint) if part)


class BadInput(PhierError):
    """Something the person typed or named can't be used as it is."""

    kind = FailureKind.BAD_INPUT
    exit_code = 2


class Failure(PhierError):
    """Something that should have worked did not: memory, disk, network, a broken model."""


class Cancelled(PhierError):
    """The person stopped a slow piece of work; nothing is wrong."""

    kind = FailureKind.CANCELLED

    def __init__(self, what: str) -> None:
        super().__init__("Cancelled", f"{what} was cancelled.")
