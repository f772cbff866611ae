"""Ranks, Kendall's tau-b and the documents that moved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from probes.tasks.rankings import MOVED, kendall_tau_b, moved, ranks


def by_definition(a: list[float], b: list[float]) -> float | None:
    """(P - Q) / √((P + Q + A)(P + Q + B)), pair by pair."""
    alike = opposite = only_a = only_b = 0
    for i in range(len(a)):
        for j in range(i):
            if a[i] == a[j] or b[i] == b[j]:
                only_a += a[i] != a[j]
                only_b += b[i] != b[j]
            elif (a[i] < a[j]) == (b[i] < b[j]):
                alike += 1
            else:
                opposite += 1
    both = alike + opposite
    size = (both + only_a) * (both + only_b)
    return (alike - opposite) / math.sqrt(size) if size else None


def test_a_case_by_hand() -> None:
    # Pairs (1,2) (1,3) (2,3): b orders the first two alike and the last in the opposite way.
    assert kendall_tau_b([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == pytest.approx(1 / 3)
    # One pair is equal in b alone: 2 alike, of 3 and 2 pairs that are not equal.
    assert kendall_tau_b([1.0, 2.0, 3.0], [1.0, 2.0, 2.0]) == pytest.approx(2 / math.sqrt(3 * 2))


def test_equal_and_opposite_rankings_give_exactly_1() -> None:
    generator = np.random.default_rng(0)
    for size in (2, 3, 10, 1000):
        values = generator.normal(size=size).round(1).tolist()
        values[0] = 9.0
        assert kendall_tau_b(values, values) == 1.0
        assert kendall_tau_b(values, [-value for value in values]) == -1.0


@pytest.mark.parametrize(("a", "b"), [([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 3.0]), ([1.0], [1.0]), ([], [])])
def test_a_constant_ranking_has_no_tau(a: list[float], b: list[float]) -> None:
    assert kendall_tau_b(a, b) is None


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_it_agrees_with_the_definition_and_with_scipy_whatever_is_equal(digits: int) -> None:
    generator = np.random.default_rng(digits)
    for size in (2, 3, 5, 17, 60):
        a, b = (generator.normal(size=size).round(digits).tolist() for _ in range(2))
        found, expected = kendall_tau_b(a, b), by_definition(a, b)
        assert (found is None) == (expected is None)
        if found is not None:
            assert found == pytest.approx(expected, abs=1e-15)
            assert found == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)


def test_missing_similarities_are_equal_and_come_last() -> None:
    values = [0.5, -math.inf, 0.7, -math.inf]
    assert ranks(values) == [2, 3, 1, 4]
    assert kendall_tau_b(values, [0.5, 0.1, 0.7, 0.2]) == pytest.approx(5 / math.sqrt(5 * 6))


def test_of_equal_similarities_the_first_document_comes_first() -> None:
    assert ranks([0.2, 0.9, 0.2, 0.9]) == [3, 1, 4, 2]


def test_the_documents_that_moved_most_come_first_and_others_are_left_out() -> None:
    assert moved("abcd", [1, 2, 3, 4], [4, 2, 1, 3]) == (("a", 1, 4), ("c", 3, 1), ("d", 4, 3))
    assert moved("abcd", [1, 2, 3, 4], [1, 2, 3, 4]) == ()
    ids = [str(number) for number in range(20)]
    assert len(moved(ids, range(20), range(20, 0, -1))) == MOVED
