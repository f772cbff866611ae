"""The items of a task, as plain data: questions with options, texts with labels, documents with queries, prompts.

Frozen data without torch. `probes.tasks.item_files` reads them from files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from string import ascii_uppercase

from probes.schema.task_options import Pooling


class TaskKind(StrEnum):
    """What a task asks of a model."""

    OPTIONS = "options"
    """A question with options: one of them is right."""
    CLASSIFICATION = "classification"
    """A text with one label out of a set."""
    RETRIEVAL = "retrieval"
    """Documents and queries, embedded from the hidden state."""
    GENERATION = "generation"
    """A prompt whose answer is generated, and matched exactly."""


class Way(StrEnum):
    """How an option is scored."""

    LETTER = "letter"
    """By the probability of its letter, at one position; both surface forms of the letter count."""
    CONTINUATION = "continuation"
    """By the log-probability of its whole text after the question."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with options. A text with label words is one too: its options are the labels."""

    id: str
    question: str
    options: tuple[str, ...]
    answer: int
    """The index of the right option."""
    group: str = ""
    """The label set or subject, by which items are counted separately; "" for none."""

    @property
    def lettered(self) -> str:
        """The question with its options below it, each behind a letter."""
        lines = (f"{letter}. {option}" for letter, option in zip(ascii_uppercase, self.options, strict=False))
        return "\n".join((self.question, *lines))


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    id: str
    text: str
    positive: tuple[str, ...]
    """The ids of the documents that answer it: at least one."""


@dataclass(frozen=True, slots=True)
class Collection:
    """The documents that all queries of a retrieval task choose among."""

    documents: tuple[Document, ...]
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class ShortAnswer:
    """A prompt with the answers that count as right."""

    id: str
    prompt: str
    targets: tuple[str, ...]
    """At least one; matched after the normalisation that docs/figures.md states."""


PLACE = "{text}"
"""Where the text of an item goes in the form of its wording."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How the text of an item becomes a prompt: the instruction, an empty line, and the form filled in."""

    instruction: str = ""
    """What comes before each item: a sentence, or solved examples; "" for nothing."""
    form: str = PLACE
    """The item itself: "Question: {text}\\nAnswer:"."""

    def around(self, text: str) -> str:
        """The text of an item as a prompt; without spaces at its end, because an option after it begins with one."""
        filled = self.form.replace(PLACE, text)
        return (f"{self.instruction}\n\n{filled}" if self.instruction else filled).rstrip(" ")


QUESTION = Wording(form=f"Question: {PLACE}\nAnswer:")
"""How a question of options or classification is worded unless its item set says otherwise."""


@dataclass(frozen=True, slots=True)
class ItemSet:
    """The items of one task, all of one kind."""

    name: str
    """Short, unique in a verdict: "facts"."""
    kind: TaskKind
    questions: tuple[Question, ...] = ()
    """Of options and classification."""
    collection: Collection | None = None
    """Of retrieval."""
    prompts: tuple[ShortAnswer, ...] = ()
    """Of generation."""
    way: Way = Way.LETTER
    """Of options and classification."""
    wording: Wording = Wording()
    """Of questions and prompts; of retrieval, of each text that is embedded by its last token."""
    pooling: Pooling = Pooling.MEAN
    """Of retrieval: how a text is embedded, unless the options of a run say otherwise."""
    group_wordings: Mapping[str, Wording] = field(default_factory=dict)
    """The wording of each group that has its own, by name."""
    chat: bool = False
    """Do the prompts go through the model's chat template? If not, or if the model has none, they are read raw."""
    digest: str = ""
    """The SHA-256 of what was read, so that results are never mixed with those of other items."""
    notes: tuple[str, ...] = ()
    """Sentences a reader of the scores must know: lines left out, documents cut."""

    def __len__(self) -> int:
        """How many items are scored: for retrieval, the queries."""
        return len(self.questions) + len(self.prompts) + (len(self.collection.queries) if self.collection else 0)

    def wording_of(self, question: Question) -> Wording:
        """The wording of the question's group, or of the set."""
        return self.group_wordings.get(question.group, self.wording)

    @property
    def chance(self) -> float:
        """The expected score of guessing, from 0 to 1: the mean of one over the number of options. For retrieval, the
        expected top-1 of a random ranking; 0 for generation."""
        if self.collection is not None:
            size = len(self.collection.documents)
            shares = [len(query.positive) / size for query in self.collection.queries]
        else:
            shares = [1 / len(question.options) for question in self.questions]
        return sum(shares) / len(shares) if shares else 0.0
