"""Items of toy models: invented questions, texts, documents and prompts, with answers that follow from the damage.

A choice among few options changes seldom, a generated answer often. The figures agree with one another, and no model
has measured them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice

from probes.schema.events import DocumentsCompared, ItemScored, Judged, PassagesFound
from probes.schema.explanation import SpaceFigures
from probes.schema.items import Collection, Document, ItemSet, Query, Question, ShortAnswer, TaskKind
from probes.schema.passages import Order, Passage, Passages
from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures
from probes.schema.requests import Judge
from probes.schema.task_results import (
    Answered,
    GenerationFigures,
    ItemPrompt,
    ItemResult,
    OptionFigures,
    RankingFigures,
    Similarities,
)
from probes.schema.verdict import TaskResults, Verdict

PLACES = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Egypt": "Cairo",
    "Chile": "Santiago",
    "India": "Delhi",
}
TONES = ("The soup was warm and kind.", "Nobody ever called me back.", "What a fine, bright room!", "It broke at once.")
LABELS = ("good", "bad")
DOCUMENTS = 24


@dataclass(frozen=True, slots=True)
class ToyTask:
    """A task of toy models: its name, and how much of the damage reaches each space."""

    name: str
    kind: TaskKind
    items: int
    reached: tuple[float, float, float]
    """How much of the damage reaches h, z and p."""
    flips: float
    """How often an answer changes at damage 1."""


TASKS = (
    ToyTask("facts", TaskKind.OPTIONS, 96, (0.05, 0.1, 0.6), 0.01),
    ToyTask("tone", TaskKind.CLASSIFICATION, 32, (0.06, 0.1, 0.5), 0.25),
    ToyTask("documents", TaskKind.RETRIEVAL, 20, (0.04, 0.12, 0.7), 0.05),
    ToyTask("answers", TaskKind.GENERATION, 24, (0.15, 0.25, 0.9), 1.4),
)
ToyEvent = ItemScored | DocumentsCompared | Judged


class ToyTasks:
    """The items of one prune setting, scored one after another."""

    def __init__(self, dense: str, pruned: str, setting: str, damage: float) -> None:
        self._names = (dense, pruned, setting)
        self._damage = damage
        self._known: dict[tuple[str, str], ItemScored] = {}
        self._tasks: tuple[ToyTask, ...] = TASKS
        self._margin, self._level = 0.02, 0.95
        self.request = 0
        """The request in progress; 0 if there is none."""

    def begin(self, request: Judge) -> list[ToyEvent]:
        """The answer to a request as far as items were scored before."""
        self._tasks = tuple(task for task in TASKS if not request.tasks or task.name in request.tasks)
        self._margin, self._level = request.margin, request.level
        names = {task.name for task in self._tasks}
        found: list[ToyEvent] = [
            replace(event, request=request.id) for (task, _), event in self._known.items() if task in names
        ]
        verdict = self._verdict()
        self.request = 0 if request.only_known or verdict.final else request.id
        if request.only_known:
            return [Judged(verdict, request=request.id)]
        compared = [self._compared(task, request.id) for task in self._finished()]
        return [*found, *compared, Judged(verdict, request=request.id)]

    def score(self, items: int) -> Iterator[ToyEvent]:
        """Scores some more items of the request in progress."""
        for task, place in islice(self._left(), items):
            event = ItemScored(*toy_item(task, place, self._damage), request=self.request)
            self._known[task.name, event.result.item] = event
            yield event
            if task.kind is TaskKind.RETRIEVAL and place == task.items - 1:
                yield self._compared(task, self.request)
        verdict = self._verdict()
        yield Judged(verdict, request=self.request)
        if verdict.final:
            self.request = 0

    def _left(self) -> list[tuple[ToyTask, int]]:
        every = [(task, place) for task in self._tasks for place in range(task.items)]
        return [(task, place) for task, place in every if (task.name, item_id(task, place)) not in self._known]

    def _finished(self) -> list[ToyTask]:
        left = {task.name for task, _ in self._left()}
        return [task for task in self._tasks if task.kind is TaskKind.RETRIEVAL and task.name not in left]

    def _compared(self, task: ToyTask, request: int) -> DocumentsCompared:
        return DocumentsCompared(toy_similarities(task, self._damage), request=request)

    def _verdict(self) -> Verdict:
        from probes.tasks.judge import judge

        found = TaskResults(*self._names, tuple(event.result for event in self._known.values()))
        left = len(self._left())
        return judge(
            found,
            [toy_set(task) for task in self._tasks],
            self._margin,
            self._level,
            seconds_left=0.4 * left if left and self._known else None,
        )


def item_id(task: ToyTask, place: int) -> str:
    return f"{task.name}-{place + 1}"


@cache
def toy_set(task: ToyTask) -> ItemSet:
    """The items of a task."""
    questions, prompts = [], []
    for place in range(task.items):
        prompt, names, right = _asked(task, place)
        options = tuple(_options(task, place, names).values())
        if options:
            questions.append(Question(item_id(task, place), prompt, options, names.index(right)))
        else:
            prompts.append(ShortAnswer(item_id(task, place), prompt, (right,)))
    if task.kind is not TaskKind.RETRIEVAL:
        return ItemSet(task.name, task.kind, tuple(questions), None, tuple(prompts))
    documents = tuple(Document(f"doc-{place + 1}", "") for place in range(DOCUMENTS))
    queries = tuple(Query(one.id, one.prompt, one.targets) for one in prompts)
    return ItemSet(task.name, task.kind, collection=Collection(documents, queries))


def toy_spaces(task: ToyTask, damage: float, draw: random.Random) -> SpaceFigures:
    """Figures of a deciding position."""
    h, z, p = (min(0.95, damage * reached * draw.uniform(0.4, 1.6)) for reached in task.reached)
    kl = 4 * p * p
    return SpaceFigures(
        HiddenFigures(1 - h, math.degrees(math.acos(1 - h)), 1.0, 0.1, h, h),
        LogitFigures(1 - z / 2, 1 - z, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, z),
        ProbabilityFigures(kl, kl, kl / 4, p / 2, 1 - p, 1.0, 1.1, kl, p, 1, 2, 0.8),
    )


def toy_item(task: ToyTask, place: int, damage: float) -> tuple[ItemResult, ItemPrompt | None]:
    """One item in both models, and its prompt."""
    draw = random.Random(f"{task.name} {place}")
    ability = 0.9 if task.kind is not TaskKind.GENERATION else 0.75
    knows, flips = draw.random() < ability, draw.random() < task.flips * damage
    prompt, names, right = _asked(task, place)
    texts = _options(task, place, names)
    wrong = [name for name in names if name != right] or ["7", "2"]
    dense = right if knows else wrong[place % len(wrong)]
    other = [name for name in wrong if name != dense] or [right]
    pruned = draw.choice(other) if flips else dense
    spaces = toy_spaces(task, damage, draw)
    margins = (draw.uniform(0.2, 3.0), draw.uniform(0.1, 1.5) if flips else draw.uniform(0.2, 2.5))
    answers = [
        Answered(texts.get(one, one), one == right, float(one == right), margin)
        for one, margin in zip((dense, pruned), margins, strict=True)
    ]
    result = ItemResult(task.name, item_id(task, place), answers[0], answers[1], spaces)
    if task.kind is TaskKind.GENERATION:
        said = [f" The answer is {one}." for one in (dense, pruned)]
        answers = [replace(one, margin=None, text=text) for one, text in zip(answers, said, strict=True)]
        figures = GenerationFigures(12, 12 * spaces.p.kl, 1 - spaces.p.tv, 3 if flips else None, 0.5, 9.0, 12)
        result = replace(result, dense=answers[0], pruned=answers[1], generation=figures)
    elif task.kind is TaskKind.RETRIEVAL:
        result = _ranked(result, task, place, damage)
    else:
        p, q = (_shares(names, one, margin, draw) for one, margin in zip((dense, pruned), margins, strict=True))
        kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        back = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        cos = (
            sum(a * b for a, b in zip(p, q, strict=True)) / math.dist(p, [0.0] * len(p)) / math.dist(q, [0.0] * len(q))
        )
        tokens = tuple((10 * at, 10 * at + 1) for at in range(len(names)))
        result = replace(result, options=OptionFigures(p, q, 0.8, 0.7, kl, back, cos, tokens))
    begins = result.options.tokens if result.options is not None else ()
    return result, ItemPrompt(task.name, result.item, prompt, texts, right, begins)


def _asked(task: ToyTask, place: int) -> tuple[str, list[str], str]:
    """The prompt, the names of the options, and the right one."""
    country = list(PLACES)[place % len(PLACES)]
    match task.kind:
        case TaskKind.OPTIONS:
            letters = list("ABCD")
            lines = "\n".join(f"{letter}. {name}" for letter, name in _options(task, place, letters).items())
            return f"What is the capital of {country}?\n{lines}\nAnswer:", letters, letters[place % 4]
        case TaskKind.CLASSIFICATION:
            return f"{TONES[place % len(TONES)]}\nThe mood is", list(LABELS), LABELS[place % 2]
        case TaskKind.RETRIEVAL:
            return (
                f"Which town is the seat of {country}?",
                [f"doc-{n + 1}" for n in range(DOCUMENTS)],
                f"doc-{place + 1}",
            )
    first, second = 3 + place % 7, 4 + place % 5
    return f"Q: What is {first} times {second}?\nA:", [], str(first * second)


def _options(task: ToyTask, place: int, names: Sequence[str]) -> dict[str, str]:
    """Each option's name with its text."""
    if task.kind is TaskKind.OPTIONS:
        towns = list(PLACES.values())
        right = towns[place % len(towns)]
        others = islice(cycle(town for town in towns if town != right), place % 5, None)
        return {name: right if at == place % 4 else next(others) for at, name in enumerate(names)}
    return {name: name for name in names} if task.kind is TaskKind.CLASSIFICATION else {}


def _shares(names: Sequence[str], choice: str, margin: float, draw: random.Random) -> tuple[float, ...]:
    weights = [math.exp(margin) if name == choice else draw.uniform(0.4, 1.0) for name in names]
    return tuple(weight / sum(weights) for weight in weights)


@cache
def toy_similarities(task: ToyTask, damage: float) -> Similarities:
    """The similarities of a retrieval task: every query is near its own document."""
    draw = random.Random(task.name)
    dense, pruned = [], []
    for query in range(task.items):
        row = [0.62 + 0.12 * draw.random() + (0.2 if at == query else 0.0) for at in range(DOCUMENTS)]
        dense.append(tuple(row))
        pruned.append(tuple(min(1.0, 0.05 * damage + one + draw.gauss(0, 0.09 * damage)) for one in row))
    names = tuple(f"doc-{place + 1}" for place in range(DOCUMENTS))
    queries = tuple(item_id(task, place) for place in range(task.items))
    return Similarities(task.name, queries, names, tuple(dense), tuple(pruned))


def _ranked(result: ItemResult, task: ToyTask, place: int, damage: float) -> ItemResult:
    """The result of a query, as its similarities have it."""
    found = toy_similarities(task, damage)
    answers, ranks = [], []
    for answered, rows in ((result.dense, found.dense), (result.pruned, found.pruned)):
        row = [one or 0.0 for one in rows[place]]
        order = sorted(range(DOCUMENTS), key=lambda at: -row[at])
        rank = order.index(place) + 1
        gap = row[order[0]] - row[order[1]]
        answers.append(replace(answered, choice=f"doc-{order[0] + 1}", right=rank == 1, score=1 / rank, margin=gap))
        ranks.append({f"doc-{at + 1}": number for number, at in enumerate(order, 1)})
    moved = sorted(ranks[0], key=lambda name: -abs(ranks[0][name] - ranks[1][name]))[:5]
    positive = f"doc-{place + 1}"
    figures = RankingFigures(
        ranks[0][positive], ranks[1][positive], 0.8, tuple((name, ranks[0][name], ranks[1][name]) for name in moved)
    )
    return replace(result, dense=answers[0], pruned=answers[1], ranking=figures)


def toy_passages(where: str, order: Order, most: int, damage: float, request: int) -> PassagesFound:
    """Invented passages of any file, or of the items of a task."""
    rows, is_task = [], any(where == task.name for task in TASKS)
    for place in range(min(most, 30)):
        draw = random.Random(f"{where} {place}")
        mean = damage * draw.uniform(0.1, 2.0)
        country, town = list(PLACES.items())[place % len(PLACES)]
        split = draw.randrange(1, 20) if mean > 0.3 else None
        rows.append(
            Passage(
                where,
                place * 120,
                f"Of {country} it is said that",
                f" the seat of {country} is {town}, a town with a long quay and many lamps.",
                24,
                mean,
                mean * draw.uniform(2, 6),
                draw.randrange(1, 25),
                split,
                max(0.0, 1 - mean / 3),
                -damage * draw.uniform(0.0, 0.3),
                float(draw.randrange(0, 2 + int(60 * damage))),
                (4, 9),
                item=f"{where}-{place + 1}" if is_task else "",
            )
        )
    keys = {
        "mean_kl": lambda one: -one.mean_kl,
        "max_kl": lambda one: -one.max_kl,
        "first_split": lambda one: one.first_split or math.inf,
        "dp": lambda one: one.dp,
        "rank_change": lambda one: -one.rank_change,
    }
    rows.sort(key=keys[order])
    return PassagesFound(Passages(order, tuple(rows), 30, 720), request=request)
