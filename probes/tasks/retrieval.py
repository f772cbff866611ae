"""Embeds documents and queries in both models, and compares the two rankings of the documents for each query.

A text's embedding is made of the states `h` that enter the LM head at its tokens. The formulas are in docs/figures.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.models.tokens import token_ids_of
from probes.schema.errors import BadInput
from probes.schema.explanation import SpaceFigures
from probes.schema.items import PLACE, ItemSet, Query, Wording
from probes.schema.task_options import Pooling, TaskOptions
from probes.schema.task_results import Answered, ItemResult, RankingFigures, Similarities
from probes.stepping.figures import hidden_figures
from probes.stepping.sums import hidden_sums
from probes.tasks.item_plan import Scored, TaskPlan
from probes.tasks.item_spaces import comparisons, mean_spaces
from probes.tasks.options import SIDES
from probes.tasks.rankings import kendall_tau_b, moved, ranks
from probes.tasks.readers import Readers, item_name

Vector = NDArray[np.float64]
Row = list[float | None]
"""The similarities of one query with all documents."""


@dataclass(frozen=True, slots=True)
class TextTokens:
    """A text as both models read it."""

    ids: tuple[int, ...]
    """With the special tokens that come before a text."""
    own: int
    """Where the text's own tokens begin."""
    cut: bool
    """Is it longer than the models' context?"""


def plan_retrieval(
    readers: Readers, items: ItemSet, done: Collection[tuple[str, str]], options: TaskOptions
) -> TaskPlan:
    """Reads all documents, then the queries, and gives the result of each query that is not done.

    Raises `BadInput` for a text without tokens, or one longer than the context if `options` refuse that.
    """
    collection = items.collection
    if collection is None or all((items.name, query.id) in done for query in collection.queries):
        return TaskPlan(0, iter(()))
    documents = [
        _tokens(readers, items, "Document", document.id, document.text, options) for document in collection.documents
    ]
    queries = [_tokens(readers, items, "Query", query.id, query.text, options) for query in collection.queries]
    scored = _Retrieval(readers, items, done, options.pooling or items.pooling).scored(documents, queries)
    return TaskPlan(len(documents) + len(queries), scored)


def _tokens(readers: Readers, items: ItemSet, kind: str, text_id: str, text: str, options: TaskOptions) -> TextTokens:
    """The text's tokens, in the wording of the item set if the last one is embedded, cut to the models' context.

    Special tokens after the text are left out: no token of the text sees them.
    """
    what, tokenizer = item_name(items, text_id, kind), readers.tokenizer
    if not token_ids_of(tokenizer, text, special=False):
        raise BadInput("Empty text", f"{what} has no tokens.", "Give it a text, or leave it out.")
    wording = items.wording if (options.pooling or items.pooling) is Pooling.LAST else Wording()
    text = wording.around(text)
    own = token_ids_of(tokenizer, text, special=False)
    whole = token_ids_of(tokenizer, text, special=True)
    extra = len(whole) - len(own)
    before = next((start for start in range(extra + 1) if whole[start : start + len(own)] == own), 0)
    ids = [*whole[:before], *own]
    cut = len(ids) > readers.longest
    if cut and options.refuse_long:
        message = f"{what} has {len(ids):,} tokens, but the models read at most {readers.longest:,}."
        raise BadInput("Text too long", message, "Shorten it, or let long texts be cut.")
    if cut:  # the words after the text stay, since the last token is the embedded one
        after = token_ids_of(tokenizer, wording.form.partition(PLACE)[2], special=False)
        ids = [*ids[: max(readers.longest - len(after), 0)], *after][: readers.longest]
    readers.check(what, ids)
    return TextTokens(tuple(ids), before, cut)


class _Retrieval:
    """One retrieval task."""

    def __init__(self, readers: Readers, items: ItemSet, done: Collection[tuple[str, str]], pooling: Pooling) -> None:
        assert items.collection is not None
        self._readers, self._name, self._pooling = readers, items.name, pooling
        self._ids = [document.id for document in items.collection.documents]
        self._queries = items.collection.queries
        self._done = {query.id for query in self._queries if (items.name, query.id) in done}

    def scored(self, documents: Sequence[TextTokens], queries: Sequence[TextTokens]) -> Iterator[Sequence[Scored]]:
        """What is known after each text: the similarities come before the last result, so that they are there if all
        results are."""
        vectors = []
        for tokens in documents:
            vectors.append(tuple(map(_unit, self._embedded(tokens))))
            yield ()
        notes = self._notes(documents, vectors)
        rows: dict[str, tuple[Row, Row]] = {}
        # Those that are done are read first: their similarities are needed, and their results are not.
        for query, tokens in sorted(
            zip(self._queries, queries, strict=True), key=lambda pair: pair[0].id not in self._done
        ):
            embedded = self._embedded(tokens)
            row, row_pruned = (
                _similarities(_unit(state), [vector[side] for vector in vectors]) for side, state in enumerate(embedded)
            )
            rows[query.id] = row, row_pruned
            found: list[Scored] = []
            if len(rows) == len(self._queries):
                found.append(self._compared(rows))
            if query.id not in self._done:
                found.append(self._result(query, tokens, embedded, rows[query.id], notes))
            yield found

    def _embedded(self, tokens: TextTokens) -> tuple[Tensor, Tensor]:
        """The text's embedding in both models, (d,) each; not finite if the model computes NaN."""
        return self._readers.mean_states(
            tokens.ids, len(tokens.ids) - 1 if self._pooling is Pooling.LAST else tokens.own
        )

    def _notes(self, documents: Sequence[TextTokens], vectors: Sequence[tuple[Vector | None, ...]]) -> list[str]:
        notes = []
        cut = sum(tokens.cut for tokens in documents)
        if cut:
            notes.append(f"{_counted(cut)} cut to the first {self._readers.longest:,} tokens.")
        for side, name in enumerate(SIDES):
            missing = sum(vector[side] is None for vector in vectors)
            if missing:
                notes.append(
                    f"{_counted(missing)} ranked last, because the {name} model computes NaN or infinity there."
                )
        return notes

    def _result(
        self,
        query: Query,
        tokens: TextTokens,
        embedded: tuple[Tensor, Tensor],
        rows: tuple[Row, Row],
        notes: Sequence[str],
    ) -> ItemResult:
        spaces, own_notes = self._spaces(tokens, embedded)
        places, places_pruned = (ranks([_or_last(one) for one in row]) for row in rows)
        positives, positives_pruned = (
            tuple(sorted(rank for name, rank in zip(self._ids, one, strict=True) if name in query.positive))
            for one in (places, places_pruned)
        )
        dense = self._answered(rows[0], places, positives[0])
        pruned = self._answered(rows[1], places_pruned, positives_pruned[0])
        ranking = None
        if dense.choice and pruned.choice:
            ranking = RankingFigures(
                rank_dense=positives[0],
                rank_pruned=positives_pruned[0],
                tau=kendall_tau_b(*([_or_last(one) for one in row] for row in rows)),
                moved=moved(self._ids, places, places_pruned),
                positives_dense=positives,
                positives_pruned=positives_pruned,
            )
        return ItemResult(self._name, query.id, dense, pruned, spaces, ranking=ranking, notes=(*own_notes, *notes))

    def _spaces(self, tokens: TextTokens, embedded: tuple[Tensor, Tensor]) -> tuple[SpaceFigures | None, list[str]]:
        """`h` of the embeddings, `z` and `p` after the last token; None if a model computes NaN. Also notes."""
        readers = self._readers
        notes = [f"The query was cut to its first {readers.longest:,} tokens."] if tokens.cut else []
        outputs = readers.read_last(tokens.ids)
        found = zip(SIDES, embedded, outputs, strict=True)
        broken = [name for name, state, output in found if _unit(state) is None or not output.finite]
        notes += [readers.broken(name, tokens.ids) for name in broken]
        spaces = None if broken else mean_spaces(comparisons(*outputs))
        if spaces is None:
            return None, notes
        dense, pruned = embedded
        sums = {name: float(value) for name, value in hidden_sums(dense[None], pruned[None]).items()}
        return replace(spaces, h=hidden_figures(sums)), notes

    def _answered(self, row: Row, ranked: Sequence[int], first_positive: int) -> Answered:
        best, *others = sorted(range(len(ranked)), key=lambda place: ranked[place])
        top = row[best]
        if top is None:
            return Answered("", False, 0.0)
        second = row[others[0]] if others else None
        margin = None if second is None else top - second
        return Answered(self._ids[best], first_positive == 1, 1 / first_positive, margin)

    def _compared(self, rows: dict[str, tuple[Row, Row]]) -> Similarities:
        names = tuple(query.id for query in self._queries)
        dense, pruned = (tuple(tuple(rows[name][side]) for name in names) for side in (0, 1))
        return Similarities(self._name, names, tuple(self._ids), dense, pruned)


def _unit(embedding: Tensor) -> Vector | None:
    """The embedding with length 1; None if it has none."""
    length = float(torch.linalg.vector_norm(embedding))
    return embedding.numpy() / length if 0 < length < math.inf else None


def _similarities(query: Vector | None, documents: Sequence[Vector | None]) -> Row:
    """Cosines, one after another, so that none depends on how many there are."""
    return [None if query is None or one is None else float(np.dot(query, one)) for one in documents]


def _or_last(similarity: float | None) -> float:
    return -math.inf if similarity is None else similarity


def _counted(documents: int) -> str:
    return "1 document is" if documents == 1 else f"{documents:,} documents are"
