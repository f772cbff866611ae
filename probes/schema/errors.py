"""What can go wrong, said to a person: every error carries a title, a sentence and a next step."""

from __future__ import annotations


class PhierError(Exception):
    """An error meant to be read by a person; it never needs a traceback to be understood."""

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

    exit_code = 2


class Failure(PhierError):
    """Something that should have worked did not: memory, disk, network, a broken model."""


class Cancelled(PhierError):
    """The person stopped a slow piece of work; nothing is wrong."""

    def __init__(self, what: str) -> None:
        super().__init__("Cancelled", f"{what} was cancelled.")
