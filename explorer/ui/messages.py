"""What widgets and threads tell the screens, as past-tense nouns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual.message import Message

from explorer.sources.chosen import Chosen
from probes.schema.record import StepRecord


class EventsArrived(Message):
    """Events lie in the mailbox. Later ones replace it; the events themselves are never replaced."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, EventsArrived)


class StepPointed(Message):
    """A step was clicked or dragged to, in a text, a chart or the strip."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step


class TokenChosen(Message):
    """A row of the next-token table was confirmed: fork with it at the step it stands for."""

    def __init__(self, token_id: int, token: str, record: StepRecord) -> None:
        super().__init__()
        self.token_id = token_id
        self.token = token
        self.record = record


class RetryAsked(Message):
    """Loading failed and is to be tried once more."""


class RecordingChosen(Message):
    """A recording is to be shown."""

    def __init__(self, chosen: Chosen) -> None:
        super().__init__()
        self.chosen = chosen


class RecordingsCompared(Message):
    """Several recordings are to be set side by side."""

    def __init__(self, chosen: Sequence[Chosen]) -> None:
        super().__init__()
        self.chosen = tuple(chosen)


class RecordingSaved(Message):
    """The recording of the run that is shown is to be written to another place, and to go on there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


class LiveRunAsked(Message):
    """The models are to be loaded for a run of their own."""


class RecordingsAsked(Message):
    """The list of recordings is to be shown."""


class ModelsAsked(Message):
    """The models of a recording are to be loaded, to go on from the cursor."""


class ReturnAsked(Message):
    """The recording whose models were asked for is to be shown again."""
