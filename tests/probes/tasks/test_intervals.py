"""Intervals against closed forms, published examples, scipy, and their stated coverage in simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from probes.tasks.intervals import (
    Paired,
    bootstrap_interval,
    difference_interval,
    mcnemar,
    normal_quantile,
    wilson,
)

Z = normal_quantile(0.95)


class TestWilson:
    @pytest.mark.parametrize(
        ("right", "items"), [(0, 1), (1, 1), (0, 40), (40, 40), (7, 31), (999, 1000), (3, 100_000)]
    )
    @pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
    def test_is_scipys(self, right, items, level):
        found = wilson(right, items, level)
        expected = stats.binomtest(right, items).proportion_ci(level, method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert found.value == right / items

    def test_ends_are_exact(self):
        assert wilson(0, 17).low == 0.0
        assert wilson(17, 17).high == 1.0
        assert wilson(17, 17).low == pytest.approx(17 / (17 + Z * Z), abs=1e-15)

    def test_says_nothing_without_items(self):
        assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)

    @pytest.mark.parametrize("share", [0.25, 0.5, 0.8, 0.9])
    @pytest.mark.parametrize("items", [40, 200])
    def test_covers_as_stated(self, share, items):
        counts = np.random.default_rng(3).binomial(items, share, 500)
        covered = [one.low <= share <= one.high for one in (wilson(count, items) for count in counts)]
        assert _near_level(np.mean(covered))


class TestDifferenceInterval:
    @pytest.mark.parametrize(
        ("table", "low", "high"),
        [
            # Both right, only the first, only the second, neither; published as first minus second.
            ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998
            ((14, 5, 0, 22), 0.011, 0.226),  # Altman and others 2000, Statistics with Confidence, table 6.2
            ((1, 1, 7, 12), -0.507, -0.026),  # Fagerland and others 2017, airways before and after transplantation
        ],
    )
    def test_is_the_published_one(self, table, low, high):
        found = difference_interval(Paired(*map(float, table)))
        digits = len(str(low).partition(".")[2])
        assert (round(-found.high, digits), round(-found.low, digits)) == (low, high)

    def test_is_symmetric_in_the_models(self):
        one, other = difference_interval(Paired(20, 7, 3, 10)), difference_interval(Paired(20, 3, 7, 10))
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))

    def test_all_right_in_both_leaves_the_width_of_one_share(self):
        found = difference_interval(Paired(60, 0, 0, 0))
        assert (found.value, found.high) == (0.0, pytest.approx(Z * Z / (60 + Z * Z)))
        assert found.low == pytest.approx(-Z * Z / (60 + Z * Z))

    def test_an_exact_copy_differs_by_exactly_zero_and_narrows_with_the_items(self):
        widths = [difference_interval(Paired(0.7 * items, 0, 0, 0.3 * items)) for items in (50, 500, 5000)]
        assert all(one.value == 0.0 for one in widths)
        assert widths[0].high > 5 * widths[1].high > 25 * widths[2].high > 0

    @pytest.mark.parametrize("table", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 9, 0, 0)])
    def test_holds_its_estimate_and_stays_a_difference(self, table):
        found = difference_interval(Paired(*map(float, table)))
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high

    def test_says_nothing_without_items(self):
        found = difference_interval(Paired.of([], []))
        assert (found.low, found.high) == (-1.0, 1.0)

    @pytest.mark.parametrize(("dense", "pruned"), [(0.9, 0.9), (0.8, 0.6), (0.5, 0.45), (0.95, 0.85)])
    @pytest.mark.parametrize("items", [60, 200])
    def test_covers_as_stated(self, dense, pruned, items):
        possible = [joint for rho in (-0.2, -0.05, 0.0, 0.4, 0.8) if min(joint := _joint(dense, pruned, rho)) >= 0]
        assert len(possible) >= 2
        covered = []
        for cells in possible:
            tables = np.random.default_rng(11).multinomial(items, cells, 500)
            found = [difference_interval(Paired(*map(float, table))) for table in tables]
            covered.append(np.mean([one.low <= pruned - dense <= one.high for one in found]))
        assert all(_near_level(one) for one in covered)
        assert np.mean(covered) < 0.985, "an interval that always covers is too wide to be of use"

    def test_counts_pairs(self):
        found = Paired.of([True, True, False, False, True], [True, False, True, False, True])
        assert found == Paired(2, 1, 1, 1)
        assert found.scaled(50) == Paired(20, 10, 10, 10)


class TestMcNemar:
    @pytest.mark.parametrize("counts", [(0, 1), (5, 0), (3, 10), (17, 30), (200, 251), (1, 60)])
    def test_is_the_binomial_tail(self, counts):
        of, fewer = sum(counts), min(counts)
        exact = min(Fraction(1), Fraction(2 * sum(math.comb(of, k) for k in range(fewer + 1)), 2**of))
        assert mcnemar(*counts) == pytest.approx(float(exact), rel=1e-13)
        assert mcnemar(*counts) == mcnemar(*reversed(counts))

    def test_is_scipys_for_many_items(self):
        assert mcnemar(49_700, 50_300) == pytest.approx(stats.binomtest(49_700, 100_000).pvalue, rel=1e-9)

    def test_is_one_if_the_split_is_even_or_there_is_none(self):
        assert mcnemar(0, 0) == mcnemar(8, 8) == 1.0

    def test_underflows_to_zero(self):
        assert mcnemar(0, 5000) == 0.0


class TestBootstrap:
    def test_is_scipys_bca(self):
        rng = np.random.default_rng(5)
        dense = rng.random(60)
        pruned = dense * rng.random(60) ** 3
        found = bootstrap_interval(dense.tolist(), pruned.tolist())
        expected = stats.bootstrap((pruned - dense,), np.mean, n_resamples=20_000, rng=1).confidence_interval
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.004)
        assert found.value == pytest.approx((pruned - dense).mean())

    def test_is_the_same_each_time_and_depends_on_the_seed(self):
        dense, pruned = np.random.default_rng(2).random((2, 30)).tolist()
        first = bootstrap_interval(dense, pruned)
        assert first == bootstrap_interval(dense, pruned)
        assert first != bootstrap_interval(dense, pruned, seed=1)

    def test_draws_that_are_all_alike_do_not_look_certain(self):
        found = bootstrap_interval([0.5] * 10, [0.5] * 10)
        assert (found.value, found.high) == (0.0, pytest.approx(wilson(0, 10).high))
        assert found.low == -found.high

    def test_without_items_or_with_one(self):
        assert bootstrap_interval([], []).low == -1.0
        one = bootstrap_interval([1.0], [0.5])
        assert one.low < one.value == -0.5 < one.high

    @pytest.mark.parametrize("skew", [1, 3])
    def test_covers_as_stated(self, skew):
        """The scores are reciprocal-like: mean of u^skew is 1 / (skew + 1)."""
        rng = np.random.default_rng(7)
        truth = 1 / (skew + 1) - 1 / 2
        found = []
        for _ in range(500):
            shared, own = rng.random(80), rng.random(80)
            found.append(bootstrap_interval(shared.tolist(), (own**skew).tolist(), draws=1000))
        assert _near_level(np.mean([one.low <= truth <= one.high for one in found]))


def _joint(dense, pruned, correlation):
    """Cells of a table with these shares and this correlation of the answers."""
    both = dense * pruned + correlation * math.sqrt(dense * (1 - dense) * pruned * (1 - pruned))
    return np.array([both, dense - both, pruned - both, 1 - dense - pruned + both])


def _near_level(covered):
    """Of 500 draws at 95 %, 3.5 standard errors: a hit of another share is rarer than 1 in 2000."""
    return 0.95 - 3.5 * math.sqrt(0.95 * 0.05 / 500) <= covered
