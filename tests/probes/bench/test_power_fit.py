"""Exponents of growth in closed form."""

from __future__ import annotations

import math

import pytest

from probes.bench.power_fit import GrowthCurve, fit_power, measure_curve


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_a_power_law_has_its_exponent_and_no_error(exponent: float) -> None:
    sizes = [1.0, 3.0, 10.0, 40.0]
    fit = fit_power(sizes, [0.2 * size**exponent for size in sizes])
    assert fit.exponent == pytest.approx(exponent, abs=1e-12)
    assert fit.error == pytest.approx(0, abs=1e-7)


def test_the_error_is_that_of_the_residuals() -> None:
    # In logarithms to the base e: x = 0, 1, 2 and y = 0, 2, 1. The slope is 1/2; the residuals are -1/2, 1, -1/2, their
    # squares sum to 3/2; one degree of freedom and Σ(x - mean)² = 2 give √(3/4).
    fit = fit_power([1, math.e, math.e**2], [1, math.e**2, math.e])
    assert (fit.exponent, fit.error) == (pytest.approx(0.5), pytest.approx(math.sqrt(0.75)))


def test_two_sizes_have_no_error() -> None:
    fit = fit_power([2, 4], [1, 4])
    assert fit.exponent == pytest.approx(2)
    assert math.isnan(fit.error)


@pytest.mark.parametrize(("exponent", "within"), [(0.4, True), (1.0, True), (1.09, True), (1.2, False), (2.0, False)])
def test_more_than_linear_is_reported(exponent: float, within: bool) -> None:
    sizes = (1.0, 2.0, 4.0)
    seconds = tuple(size**exponent for size in sizes)
    assert GrowthCurve("work", "size", sizes, seconds).within is within
    assert GrowthCurve("attention", "tokens", sizes, seconds, limit=2.0).within is True


def test_sizes_are_timed_in_turn_and_the_first_round_does_not_count() -> None:
    order: list[int] = []
    times = {10: iter([0.1, 7.0, 4.0, 2.0]), 20: iter([0.1, 8.0, 9.0, 4.0])}

    def timer(size):
        return lambda: order.append(size) or next(times[size])

    found = measure_curve("work", "size", {size: timer(size) for size in times}, rounds=3)
    assert order == [10, 20] * 4
    assert (found.sizes, found.seconds) == ((10, 20), (2.0, 4.0))
    assert found.fit.exponent == pytest.approx(1)
