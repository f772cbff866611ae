"""Which figure of a record stands where, and what stands where there is none."""

from __future__ import annotations

import math

import pytest

from explorer.sources.toy.step import Accidents
from explorer.state.view import View
from explorer.ui.widgets.braille import DASHED, SOLID
from explorer.ui.widgets.space_panel import SPACES, panel_figures, picture
from explorer.words.figures import FIGURES, Scope, text, value
from probes.schema.record import StepRecord
from probes.schema.settings import Follow
from tests.support.stage import scripted


def diverged() -> StepRecord:
    """A step of a free run after the texts have diverged."""
    return next(record for record in scripted().records(40) if not record.same_context)


def test_local_is_the_shared_context_and_total_the_own_ones() -> None:
    record = diverged()
    assert record.shared is not None
    assert record.own is not None
    assert value(record, "p.kl", Scope.SHARED) == record.shared.p.kl
    assert value(record, "p.kl", Scope.OWN) == record.own.p.kl
    assert value(record, "sum.kl", Scope.SHARED) == record.sum.kl_shared
    assert value(record, "sum.kl", Scope.OWN) == record.sum.kl


def test_on_one_context_local_and_total_are_the_same() -> None:
    record = scripted(Follow.DENSE).records(3)[2]
    for key in FIGURES:
        assert value(record, key, Scope.SHARED) == value(record, key, Scope.OWN)


def test_amplification_is_the_ratio_of_the_gaps() -> None:
    record = diverged()
    shared = record.shared
    assert shared is not None
    assert value(record, "p.amplification_h", Scope.SHARED) == pytest.approx((1 - shared.p.cos) / (1 - shared.h.cos))
    expected = (1 - shared.p.cos) / (1 - shared.z.cos_centred)
    assert value(record, "p.amplification_z", Scope.SHARED) == pytest.approx(expected)


def test_a_ratio_over_float_noise_is_undefined() -> None:
    copy = scripted(setting="wanda:0").records(1)[0]
    assert value(copy, "p.kl", Scope.SHARED) == 0
    ratio = value(copy, "p.amplification_h", Scope.SHARED)
    assert ratio is not None
    assert math.isnan(ratio)
    assert text(copy, "p.amplification_h", Scope.SHARED) == "undef."


def test_a_step_without_figures_shows_a_dash() -> None:
    invalid = scripted(accidents=Accidents(invalid=3)).records(3)[2]
    assert all(text(invalid, key, Scope.SHARED) == "–" for key in FIGURES if not key.startswith("sum."))


def test_every_figure_of_a_panel_is_known() -> None:
    for space in SPACES:
        for key in (*space.figures, *(chart.key for chart in space.charts)):
            assert key in FIGURES


def test_a_diverged_run_draws_two_series_told_apart_by_dashes() -> None:
    source, view = scripted(), View()
    source.open(view.apply)
    source.advance(40)
    probability = SPACES[2].charts[0]
    shared, own = picture(probability, view).lines
    assert (shared.dash, own.dash) == (SOLID, DASHED)
    assert shared.role != own.role
    assert shared.column is not own.column


def test_the_accumulated_panel_tells_what_the_summary_says() -> None:
    source, view = scripted(), View()
    source.open(view.apply)
    source.advance(40)
    rows = {row.label: row for row in panel_figures(SPACES[3], view).rows}
    record = view.path[-1]
    assert rows["ΣKL"].shared.startswith(f"{record.sum.kl_shared:.3g}"[:3])
    assert rows["ΣKL"].own.startswith(f"{record.sum.kl:.3g}"[:3])
    assert rows["first split"].own == str(record.sum.first_split)
    assert rows["same top-1"].own == f"{100 * record.sum.agree_rate:.0f} %"
