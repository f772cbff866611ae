"""The order of documents, ranks and levels of a similarity map."""

from __future__ import annotations

from explorer.state.similarity_map import MapOf, SimilarityMap, ranked_columns
from probes.schema.events import ItemScored
from probes.schema.task_results import Answered, ItemResult, RankingFigures, Similarities

FOUND = Similarities(
    "docs",
    ("q1", "q2"),
    ("a", "b", "c"),
    ((0.2, 0.5, 0.9), (0.8, 0.7, 0.1)),
    ((0.9, 0.5, 0.7), (0.8, None, 0.1)),
)


def scored(item: str, rank_dense: int) -> ItemScored:
    answered = Answered("", True, 1.0)
    return ItemScored(ItemResult("docs", item, answered, answered, None, ranking=RankingFigures(rank_dense, 1, 1.0)))


def test_equal_similarities_keep_their_order_and_unknown_ones_come_last() -> None:
    assert ranked_columns((0.5, None, 0.9, 0.5, -0.1)) == [2, 0, 3, 4, 1]


def test_documents_are_in_the_order_of_the_queries_they_answer() -> None:
    found = SimilarityMap(FOUND, [scored("q1", 1), scored("q2", 2)])
    assert found.right == (2, 1)
    assert found.order == (2, 1, 0)
    unknown = SimilarityMap(FOUND)
    assert unknown.right == (None, None)
    assert unknown.order == (0, 1, 2)


def test_rankings_say_where_a_document_is_in_the_other_model() -> None:
    found = SimilarityMap(FOUND, [scored("q1", 1)])
    assert [(one.document, one.rank, one.other, one.right) for one in found.ranking(MapOf.PRUNED, 0)] == [
        ("a", 1, 3, False),
        ("c", 2, 1, True),
        ("b", 3, 2, False),
    ]
    assert found.top(MapOf.DENSE, 0) == 2
    assert found.top(MapOf.PRUNED, 0) == found.top(MapOf.CHANGE, 0) == 0


def test_levels_span_both_models_and_changes_are_symmetric() -> None:
    found = SimilarityMap(FOUND)
    assert found.bounds == (0.1, 0.9)
    assert [found.level(MapOf.DENSE, value) for value in (0.1, 0.9)] == [0, 7]
    assert abs(found.largest_change - 0.7) < 1e-9
    assert found.level(MapOf.CHANGE, -0.7) == 0
    assert found.level(MapOf.CHANGE, 0.7) == 7
    assert found.value(MapOf.CHANGE, 1, 1) is None
