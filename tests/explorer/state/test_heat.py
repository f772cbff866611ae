"""Levels, rows and windows of the heat strips."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.state.heat import (
    HEAT_BOUNDS,
    Heat,
    HeatColumns,
    HeatOf,
    HeatSpace,
    scrolled_top,
    shared_out,
    steps_window,
)
from explorer.state.view import View
from probes.schema.events import Explained
from probes.schema.part import Part
from tests.support.explained_source import ExplainedSource, layers


def viewed(steps: int) -> View:
    source, view = ExplainedSource(), View()
    source.open(view.apply)
    source.advance(steps)
    return view


@pytest.mark.parametrize("space", list(HeatSpace))
def test_a_level_begins_at_its_bound(space: HeatSpace) -> None:
    heat = Heat(space=space)
    for level, bound in enumerate(HEAT_BOUNDS[space], 1):
        assert heat.level(bound) == level
        assert heat.level(math.nextafter(bound, 0)) == level - 1
    assert heat.level(0.0) == 0
    assert heat.level(math.inf) == 7
    assert heat.level(math.nan) is None


def test_every_figure_can_be_chosen() -> None:
    heat = Heat()
    assert {heat.space, heat.next_space.space, heat.next_space.next_space.space} == set(HeatSpace)
    assert heat.next_space.next_space.next_space == heat
    assert heat.other.of is HeatOf.SAME_INPUT
    assert heat.other.other == heat
    row = layers(3).rows[15]
    assert heat.value(row) == row.accumulated.p.kl
    assert row.same_input is not None
    assert heat.other.value(row) == row.same_input.p.kl
    assert heat.other.value(replace(row, same_input=None)) is None
    assert heat.next_space.value(row) == 1 - row.accumulated.h.cos
    assert heat.next_space.next_space.value(row) == 1 - row.accumulated.z.cos_centred


def test_rows_hold_what_was_measured_and_follow_a_new_finding() -> None:
    view, columns = viewed(5), HeatColumns()
    found = layers(3)
    view.apply(Explained(view.run, 0, 3, found))
    rows = columns.rows(view, 10)
    assert (rows.first, len(rows.layers), rows.sublayers, rows.parting) == (1, 30, ("attn", "mlp"), None)
    values = rows.values(Part("mlp", 7), Heat())
    assert values == [None, None, found.rows[15].accumulated.p.kl, None, None]
    view.move_to(3)
    assert columns.rows(view, 10).parting == Part("mlp", 7)
    again = replace(found, rows=found.rows[:2])
    view.apply(Explained(view.run, 0, 3, again))
    assert columns.rows(view, 10).layers == (0,)
    assert HeatColumns().rows(viewed(0), 10).layers == ()


@given(st.integers(0, 200), st.integers(1, 60))
def test_every_layer_has_its_row(count: int, height: int) -> None:
    rows = shared_out(range(count), height)
    assert [layer for row in rows for layer in row] == list(range(count))
    assert len(rows) <= max(1, height)
    sizes = {len(row) for row in rows if count}
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert count > height or sizes <= {1}


def test_a_row_of_several_layers_shows_the_largest() -> None:
    view = viewed(3)
    view.apply(Explained(view.run, 0, 2, layers(2)))
    rows = HeatColumns().rows(view, 10)
    together = rows.layers[5:9]
    each = [[rows.values(Part("mlp", layer), Heat())[at] for layer in together] for at in range(len(rows.columns))]
    found = rows.largest("mlp", together, Heat())
    for values, (value, part) in zip(each, found, strict=True):
        known = [one for one in values if one is not None]
        assert value == (max(known) if known else None)
        assert values[together.index(part.layer)] == value
    assert any(value is not None for value, _ in found)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 60))
def test_the_window_holds_the_cursor(newest: int, cursor: int, width: int) -> None:
    cursor = min(cursor, newest)
    first, last = steps_window(cursor, newest, width)
    assert 1 <= first <= cursor <= last <= newest
    assert last - first + 1 == min(width, newest)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 50), st.data())
def test_the_chosen_row_is_visible(top: int, count: int, height: int, data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, count - 1))
    found = scrolled_top(top, chosen, count, height)
    assert found <= chosen < found + height
    assert 0 <= found <= max(0, count - height)
