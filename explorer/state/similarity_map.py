"""Two similarity matrices as a reader needs them: documents in the order of their queries, ranks, levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from probes.schema.events import ItemScored
from probes.schema.task_results import Similarities

MAP_LEVELS = 8
SimilarityRow = Sequence[float | None]


class MapOf(StrEnum):
    """What a heat map shows."""

    DENSE = "dense"
    PRUNED = "pruned"
    CHANGE = "pruned − dense"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document in a ranking."""

    document: str
    similarity: float | None
    rank: int
    other: int
    """Its rank in the other model."""
    right: bool
    """Does it answer the query, as far as that is known?"""


class SimilarityMap:
    """The similarities of one task. Columns are in the order in which the queries find their documents, so that a model
    that answers well shows a diagonal."""

    def __init__(self, found: Similarities, items: Sequence[ItemScored] = ()) -> None:
        self.found = found
        self._by_id = {one.result.item: one for one in items}

    @property
    def cells(self) -> int:
        return len(self.found.queries) * len(self.found.documents)

    def prepare(self) -> SimilarityMap:
        """Computes everything that a screen needs at once, which is slow for many documents."""
        _ = self.order, self.bounds, self.largest_change, self._tops
        return self

    @property
    def queries(self) -> tuple[str, ...]:
        return self.found.queries

    @cached_property
    def right(self) -> tuple[int | None, ...]:
        """Of each query, the column of the first document that answers it in the dense ranking; None if unknown."""
        columns: list[int | None] = []
        for row, query in enumerate(self.queries):
            scored = self._by_id.get(query)
            ranking = scored.result.ranking if scored is not None else None
            order = ranked_columns(self.found.dense[row])
            known = ranking is not None and 0 < ranking.rank_dense <= len(order)
            columns.append(order[ranking.rank_dense - 1] if known and ranking is not None else None)
        return tuple(columns)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The columns as they are shown."""
        first = dict.fromkeys(column for column in self.right if column is not None)
        return (*first, *(column for column in range(len(self.found.documents)) if column not in first))

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest similarity of both models."""
        values = [
            one for side in (self.found.dense, self.found.pruned) for row in side for one in row if one is not None
        ]
        return (min(values), max(values)) if values else (0.0, 1.0)

    @cached_property
    def largest_change(self) -> float:
        """The largest change of a similarity; at least 0.001."""
        pairs = zip(self.found.dense, self.found.pruned, strict=True)
        changes = [abs(b - a) for rows in pairs for a, b in zip(*rows, strict=True) if a is not None and b is not None]
        return max(0.001, *changes) if changes else 0.001

    def value(self, of: MapOf, row: int, column: int) -> float | None:
        """A cell of a map."""
        dense, pruned = self.found.dense[row][column], self.found.pruned[row][column]
        if of is MapOf.CHANGE:
            return None if dense is None or pruned is None else pruned - dense
        return dense if of is MapOf.DENSE else pruned

    def level(self, of: MapOf, value: float) -> int:
        """From 0, the lowest similarity of either model, to 7; of a change from 0, the most negative."""
        low, high = self.bounds if of is not MapOf.CHANGE else (-self.largest_change, self.largest_change)
        share = (value - low) / (high - low) if high > low else 0.5
        return max(0, min(MAP_LEVELS - 1, int(share * MAP_LEVELS)))

    def top(self, of: MapOf, row: int) -> int:
        """The column of the document ranked first; of a change, the one that the pruned model ranks first."""
        return self._tops[of is not MapOf.DENSE][row]

    @cached_property
    def _tops(self) -> tuple[list[int], list[int]]:
        """The column of each query's first document, in the dense and in the pruned model."""
        dense, pruned = ([ranked_columns(row)[0] for row in side] for side in (self.found.dense, self.found.pruned))
        return dense, pruned

    def ranking(self, of: MapOf, row: int) -> list[Ranked]:
        """All documents as the dense or the pruned model ranks them for a query."""
        sides = {MapOf.DENSE: self.found.dense[row], MapOf.PRUNED: self.found.pruned[row]}
        orders = {side: ranked_columns(values) for side, values in sides.items()}
        other = MapOf.PRUNED if of is MapOf.DENSE else MapOf.DENSE
        place = {column: rank for rank, column in enumerate(orders[other], 1)}
        return [
            Ranked(self.found.documents[column], sides[of][column], rank, place[column], column == self.right[row])
            for rank, column in enumerate(orders[of], 1)
        ]


def ranked_columns(row: SimilarityRow) -> list[int]:
    """The columns from the most similar to the least; of equal ones the first, and the unknown last."""
    return sorted(range(len(row)), key=lambda column: (row[column] is None, -(row[column] or 0.0)))
