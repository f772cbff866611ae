"""Item sets and results of tasks that are made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from probes.schema.explanation import SpaceFigures
from probes.schema.items import Collection, Document, ItemSet, Query, Question, ShortAnswer, TaskKind
from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures
from probes.schema.task_results import Answered, GenerationFigures, ItemResult, RankingFigures
from probes.schema.verdict import TaskResults


def questions(count: int, *, name: str = "facts", kind: TaskKind = TaskKind.OPTIONS, options: int = 4, groups=("",)):
    """A task of questions, whose right answer is always the first option."""
    words = tuple(f"option {place}" for place in range(options))
    made = [Question(f"{name}-{n}", f"Question {n}?", words, 0, groups[n % len(groups)]) for n in range(count)]
    return ItemSet(name, kind, tuple(made), digest=f"digest of {name}")


def prompts(count: int, *, name: str = "answers") -> ItemSet:
    made = tuple(ShortAnswer(f"{name}-{n}", f"Prompt {n}:", ("yes",)) for n in range(count))
    return ItemSet(name, TaskKind.GENERATION, prompts=made, digest=f"digest of {name}")


def collection(queries: int, documents: int, *, name: str = "passages") -> ItemSet:
    """Each query is answered by the document of its own number."""
    made = Collection(
        tuple(Document(f"d{n}", f"Document {n}.") for n in range(documents)),
        tuple(Query(f"{name}-{n}", f"Query {n}?", (f"d{n % documents}",)) for n in range(queries)),
    )
    return ItemSet(name, TaskKind.RETRIEVAL, collection=made, digest=f"digest of {name}")


def spaces(h: float = 0.1, z: float = 0.2, p: float = 0.3, kl: float = 0.5) -> SpaceFigures:
    """The losses 1 - cosine in each space, and the KL."""
    return SpaceFigures(
        HiddenFigures(1 - h, 10.0, 1.0, 0.1, 0.1, h),
        LogitFigures(0.9, 1 - z, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, z),
        ProbabilityFigures(kl, kl, 0.1, 0.1, 1 - p, 1.0, 1.1, kl, p, 1, 2, 0.8),
    )


def answered(right: bool, score: float | None = None, choice: str = "") -> Answered:
    return Answered(choice or ("right" if right else "wrong"), right, float(right) if score is None else score, 0.5)


def counted(items: ItemSet, both: int, only_dense: int = 0, only_pruned: int = 0, neither: int = 0) -> list[ItemResult]:
    """Results of the first items of a task, with so many right in both models, in one, in none."""
    kinds = [(True, True)] * both + [(True, False)] * only_dense
    kinds += [(False, True)] * only_pruned + [(False, False)] * neither
    return [
        ItemResult(items.name, name, answered(dense), answered(pruned), spaces())
        for name, (dense, pruned) in zip(item_names(items), kinds, strict=False)
    ]


def item_names(items: ItemSet) -> list[str]:
    queries = items.collection.queries if items.collection else ()
    return [one.id for group in (items.questions, items.prompts, queries) for one in group]


def ranked(items: ItemSet, ranks: Sequence[tuple[int, int]], tau: float | None = 0.5) -> list[ItemResult]:
    """Results of queries, by the dense and the pruned rank of their document."""
    made = []
    for name, (dense, pruned) in zip(item_names(items), ranks, strict=False):
        figures = RankingFigures(dense, pruned, tau, (), (dense,), (pruned,))
        first, second = (answered(rank == 1, 1 / rank) for rank in (dense, pruned))
        made.append(ItemResult(items.name, name, first, second, spaces(), ranking=figures))
    return made


def generated(items: ItemSet, figures: Sequence[GenerationFigures]) -> list[ItemResult]:
    return [
        ItemResult(items.name, name, answered(True), answered(True), spaces(), generation=one)
        for name, one in zip(item_names(items), figures, strict=False)
    ]


def found(*results: Sequence[ItemResult]) -> TaskResults:
    return TaskResults(
        "dense-model", "dense-model wanda:0.5", "wanda:0.5", tuple(one for part in results for one in part)
    )
