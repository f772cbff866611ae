"""Charts: where a step is drawn, that no spike is lost, that nothing undefined looks smooth."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.state.axis import Axis
from explorer.state.columns import Column
from explorer.ui.widgets.braille import (
    BLOCKS,
    DASHED,
    SOLID,
    Linear,
    Log,
    bars,
    decades,
    linear_above_zero,
    linear_below_one,
    lines,
)

UNIT = Linear(0.0, 1.0)


def column(*values: float | None) -> Column:
    made = Column()
    for value in values:
        made.append(value)
    return made


def drawn(values: Column, axis: Axis, width: int, height: int = 4) -> list[str]:
    rows = lines([values], [SOLID], axis, UNIT, width, height)
    return ["".join(character for character, _ in row) for row in rows]


def dots(rows: list[str]) -> int:
    return sum(bin(ord(character) - 0x2800).count("1") for row in rows for character in row if character >= "\u2800")


@given(st.integers(1, 20_000), st.integers(1, 200))
def test_a_step_is_in_the_cell_that_stands_for_it(steps: int, width: int) -> None:
    axis = Axis(1, steps)
    cells = [axis.cell(step, width) for step in (1, steps // 2 + 1, steps)]
    assert cells == sorted(cells)
    assert all(0 <= cell < width for cell in cells)
    if steps > width:
        slices = [axis.slice(cell, width) for cell in range(width)]
        assert slices[0][0] == 0
        assert slices[-1][1] == steps
        assert all(before[1] == after[0] for before, after in itertools.pairwise(slices))
        assert all(axis.cell(start + 1, width) == cell for cell, (start, stop) in enumerate(slices) if start < stop)


@given(st.integers(1, 100), st.integers(1, 200))
def test_pointing_at_a_step_gives_that_step(steps: int, width: int) -> None:
    axis = Axis(1, steps)
    if width >= steps:
        for step in range(1, steps + 1):
            assert axis.step(axis.cell(step, width), width) == step


@given(st.integers(0, 100_000))
def test_an_axis_has_room_for_all_steps_and_little_more(steps: int) -> None:
    last = Axis.of(steps).last
    assert last >= steps
    assert last <= max(16, steps * 17 / 16 + 1)


def test_a_growing_run_keeps_its_axis_for_a_while() -> None:
    assert len({Axis.of(steps) for steps in range(9000, 10_000)}) <= 3


@pytest.mark.parametrize("place", [0, 137, 4999, 9999])
def test_a_spike_of_one_token_among_ten_thousand_is_drawn(place: int) -> None:
    flat = [0.1] * 10_000
    flat[place] = 1.0
    axis = Axis(1, 10_000)
    rows = drawn(column(*flat), axis, 30)
    top = rows[0][axis.cell(place + 1, 30)]
    assert top != " "
    dip = [0.9] * 10_000
    dip[place] = 0.0
    rows = drawn(column(*dip), axis, 30)
    assert rows[-1][axis.cell(place + 1, 30)] != " "


def test_a_bar_is_the_largest_of_its_steps_or_the_smallest() -> None:
    values = column(*[0.1] * 50, 1.0, *[0.1] * 49)
    axis = Axis(1, 100)
    assert "".join(c for c, _ in bars(values, axis, UNIT, 10)).count(BLOCKS[-1]) == 1
    assert BLOCKS[-1] not in "".join(c for c, _ in bars(values, axis, UNIT, 10, lowest=True))


@pytest.mark.parametrize("steps", [10, 2000])
@pytest.mark.parametrize(("value", "mark", "row"), [(math.inf, "∞", 0), (math.nan, "?", -1), (-math.inf, "∞", -1)])
def test_what_is_not_finite_is_a_mark_of_its_own(steps: int, value: float, mark: str, row: int) -> None:
    values = [0.5] * steps
    values[5] = value
    axis = Axis(1, steps)
    rows = drawn(column(*values), axis, 40)
    assert rows[row][axis.cell(6, 40)] == mark


def test_a_line_is_not_joined_across_what_is_missing() -> None:
    axis = Axis(1, 9)
    whole = drawn(column(*[0.5] * 9), axis, 18)
    broken = drawn(column(*[0.5] * 4, None, *[0.5] * 4), axis, 18)
    gap = axis.cell(5, 18)
    assert any(row[gap] != " " for row in whole)
    assert all(row[gap] == " " for row in broken)


def test_a_line_between_neighbours_has_no_holes() -> None:
    rows = drawn(column(0.0, 1.0, 0.0, 1.0), Axis(1, 4), 12, 6)
    inside = range(2, 10)
    assert all(any(row[x] != " " for row in rows) for x in inside)


def test_the_first_series_is_on_top_and_a_dashed_one_has_gaps() -> None:
    one, other = column(*[0.5] * 40), column(*[0.5] * 40)
    rows = lines([one, other], [SOLID, DASHED], Axis(1, 40), UNIT, 20, 4)
    assert {series for row in rows for _, series in row} == {-1, 0}
    dashed = lines([column(), other], [SOLID, DASHED], Axis(1, 40), UNIT, 20, 4)
    solid = lines([other], [SOLID], Axis(1, 40), UNIT, 20, 4)
    count = [dots(["".join(c for c, _ in row) for row in picture]) for picture in (dashed, solid)]
    assert 0 < count[0] < count[1]


def test_nothing_is_drawn_where_there_are_no_steps() -> None:
    assert dots(drawn(column(), Axis(1, 16), 20)) == 0


values = st.lists(st.one_of(st.none(), st.floats(0, 1), st.just(math.nan), st.just(math.inf)), max_size=300)


@given(values, st.integers(1, 40))
def test_buckets_kept_from_earlier_steps_are_those_found_anew(numbers: list[float | None], width: int) -> None:
    axis = Axis(1, 320)
    growing = Column()
    for number in numbers:
        growing.append(number)
        if len(growing) % 7 == 0:
            growing.buckets(axis, width)
    assert growing.buckets(axis, width) == column(*numbers).buckets(axis, width)


@given(values)
def test_bounds_leave_out_what_is_not_finite(numbers: list[float | None]) -> None:
    finite = [number for number in numbers if number is not None and math.isfinite(number)]
    assert column(*numbers).bounds(0, len(numbers)) == ((min(finite), max(finite)) if finite else None)


@pytest.mark.parametrize(
    ("highest", "bound"), [(0, 1), (0.94, 1), (1.2, 1.5), (5.1, 6), (376, 400), (0.012, 0.015), (9.7, 10)]
)
def test_an_axis_from_zero_ends_at_a_round_number(highest: float, bound: float) -> None:
    assert linear_above_zero(highest).high == pytest.approx(bound)


@pytest.mark.parametrize(("lowest", "bound"), [(0.99995, 0.9999), (0.87, 0.8), (-0.2, -0.5), (-0.9, -1)])
def test_an_axis_of_a_cosine_begins_at_a_round_number(lowest: float, bound: float) -> None:
    assert linear_below_one(lowest).low == bound


def test_a_logarithmic_axis_has_whole_decades() -> None:
    assert decades(0.003, 7.2) == Log(0.001, 10)
    assert decades(0.5, 0.9) == Log(0.01, 1)
    assert decades(0.0, 2.0) == Log(1e-5, 10)
    assert decades(0.001, 10).place(0.1) == pytest.approx(0.5)
    assert decades(0.001, 10).place(0.0) == 0
