"""Messages from widgets and threads to the screens, named as past-tense nouns."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from textual.message import Message

from explorer.sources.chosen import Chosen
from probes.schema.part import Part
from probes.schema.record import StepRecord


class EventsArrived(Message):
    """Events are in the mailbox. A later message replaces an earlier one; events themselves are never replaced."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, EventsArrived)


class FigurePointed(Message):
    """The name of a figure was clicked: its definition is to be shown."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


class StepPointed(Message):
    """A step was clicked or dragged to, in a text, a chart or the strip."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step


class TokenChosen(Message):
    """A row of the next-token table was confirmed: fork with its token at the table's step."""

    def __init__(self, token_id: int, token: str, record: StepRecord) -> None:
        super().__init__()
        self.token_id = token_id
        self.token = token
        self.record = record


class RetryAsked(Message):
    """The models are to be loaded again, after a failure."""


class RecordingChosen(Message):
    """A recording is to be shown."""

    def __init__(self, chosen: Chosen) -> None:
        super().__init__()
        self.chosen = chosen


class RecordingsCompared(Message):
    """Several recordings are to be compared."""

    def __init__(self, chosen: Sequence[Chosen]) -> None:
        super().__init__()
        self.chosen = tuple(chosen)


class RecordingSaved(Message):
    """The recording of the run that is shown is to be saved in another file, and continued there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


class LiveRunAsked(Message):
    """The models are to be loaded for a new run."""


class RecordingsAsked(Message):
    """The list of recordings is to be shown."""


class Way(StrEnum):
    """How to begin."""

    TOUR = "tour"
    MODELS = "models"
    DEMO = "demo"
    RECORDINGS = "recordings"


class WayChosen(Message):
    """A way to begin was chosen."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        self.way = way


class ModelsAsked(Message):
    """The models of a recording are to be loaded, to continue from the cursor."""


class ReturnAsked(Message):
    """The recording whose models were asked for is to be shown again."""


class SublayerPointed(Message):
    """A sublayer was clicked, in the heat strips or in a table of sublayers; with a step in the strips."""

    def __init__(self, part: Part, step: int | None = None) -> None:
        super().__init__()
        self.part = part
        self.step = step


class CellOpened(Message):
    """A cell of the sweep is to be opened: its setting as a verdict, or the recording of its prompt."""

    def __init__(self, setting: str, task: str) -> None:
        super().__init__()
        self.setting = setting
        self.task = task


class ItemRunAsked(Message):
    """An item of a results file is to be opened as a run of its models, which are loaded for it."""

    def __init__(self, task: str, item: str, answer: int = 0) -> None:
        """`answer` is the number of steps of a generated answer, else 0."""
        super().__init__()
        self.task = task
        self.item = item
        self.answer = answer
