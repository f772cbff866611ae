"""Figures as people read them."""

from __future__ import annotations

import math

import pytest

from explorer.words import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.94, "0.940"),
        (5.1234, "5.12"),
        (376.4, "376"),
        (0.00012, "1.2e-4"),
        (-0.33, "−0.330"),
        (-0.00012, "−1.2e-4"),
        (7e-13, "7e-13"),
        (1234567, "1.2e6"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "undef."),
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert numbers.significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.874, "0.874"),
        (0.99962, "0.9996"),
        (0.999987, "0.99999"),
        (0.9999999, "≈ 1"),
        (1.0, "1.000"),
        (-0.5, "−0.500"),
    ],
)
def test_a_cosine_near_one_keeps_what_makes_it_differ_from_one(value: float, text: str) -> None:
    assert numbers.cosine(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "50 %"),
        (0.0, "0 %"),
        (0.0004, "1 in 2,500"),
        (1 / 999_600, "1 in 1.0 million"),
        (2.3e-9, "1 in 435 million"),
        (1 / 2.5e12, "1 in 2.5 trillion"),
        (1e-15, "1 in 10^15"),
        (5e-324, "less than 1 in 10^300"),
        (float("nan"), "undef."),
    ],
)
def test_a_chance_in_a_sentence_is_one_in_so_many(value: float, text: str) -> None:
    assert numbers.chance_in_words(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "50 %"), (0.0051, "0.51 %"), (0.0, "0 %"), (0.99996, "100 %"), (7e-13, "7e-13")]
)
def test_a_chance_is_a_percentage_while_it_can_be_read(value: float, text: str) -> None:
    assert numbers.chance(value) == text


def test_a_share_is_in_whole_percents_and_may_be_negative() -> None:
    assert [numbers.whole_percent(value) for value in (0.62, -0.04, -0.0004, math.nan)] == [
        "62 %",
        "−4 %",
        "0 %",
        "undef.",
    ]


def test_log_ratios_carry_their_sign() -> None:
    assert [numbers.signed(value) for value in (2.98, -0.33, 0.0, math.inf, -math.inf)] == [
        "+2.98",
        "−0.33",
        "+0.00",
        "+∞",
        "−∞",
    ]


def test_small_angles_are_not_rounded_away() -> None:
    assert [numbers.degrees(value) for value in (29.06, 0.012, 0.0)] == ["29.1°", "0.012°", "0.0°"]


def test_sizes_and_times_have_units_that_fit() -> None:
    assert [numbers.byte_count(value) for value in (900, 45_000_000, 112_000_000, 2.5e9)] == [
        "900 B",
        "45.0 MB",
        "112 MB",
        "2.5 GB",
    ]
    assert [numbers.duration(value) for value in (0.2, 9, 600, 7300, math.inf)] == [
        "1 s",
        "9 s",
        "10 min",
        "2 h 2 min",
        "unknown",
    ]


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (0.001, "1e-3"), (-0.5, "−0.5"), (300.0, "300"), (0.0, "0")])
def test_bounds_of_an_axis_fit_its_gutter(value: float, text: str) -> None:
    assert numbers.plain(value) == text


def test_nothing_is_shown_as_less_than_nothing() -> None:
    assert numbers.percent(-0.0) == "0 %"
    assert numbers.degrees(-0.0) == "0.0°"
    assert numbers.degrees(float("nan")) == "undef."
