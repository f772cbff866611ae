"""Curves, knees and the Pareto view of sweeps that are made by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import pytest

from probes.schema.summary import Spread, summarise
from probes.schema.sweep import Doubt, Held
from probes.schema.verdict import Interval
from probes.sweep.curves import curves, pareto, results_by_key
from tests.support.sweeps import cell, counted_row, failed, scored, stepped, swept

SAFE = counted_row(1000)
BROKEN = counted_row(100, 100)
TOO_FEW = counted_row(60, 2)
BORDERLINE = counted_row(98, 2)
AT_CHANCE = counted_row(25, 0, 0, 75)


def curve_of(results, cells=None, **more):
    (made,) = curves(swept(cells or [one.cell for one in results], results), **more)
    return made


class TestPoints:
    def test_a_point_holds_the_score_of_its_row(self):
        row = counted_row(70, 9, 2, 19)
        (point,) = curve_of([scored(cell("wanda:0.5"), row, 0.4)]).points
        assert (point.value, point.low, point.high) == (0.72, row.pruned.low, row.pruned.high)
        assert point.difference == row.difference
        assert (point.amount, point.setting, point.removed) == (0.5, "wanda:0.5", 0.4)
        assert (point.seeds, point.seeds_asked, point.errors) == (1, 1, ())

    def test_a_curve_holds_the_dense_score_and_ascends_by_amount(self):
        results = [scored(cell(f"drop-attn:{n}"), counted_row(70, 9, 2, 19)) for n in (10, 2, 1)]
        made = curve_of(results)
        assert [point.amount for point in made.points] == [1, 2, 10]
        assert (made.dense, made.chance, made.figure, made.kind) == (0.79, 0.25, "accuracy", "options")
        assert (made.task, made.family, made.margin) == ("facts", "drop-attn:{}", 0.02)

    def test_each_task_and_family_has_its_curve_in_the_order_of_the_cells(self):
        asked = [("wanda:0.5", "tone"), ("wanda:0.3", "facts"), ("drop-attn:1", "tone"), ("wanda:0.7", "tone")]
        cells = [cell(*one) for one in asked]
        made = curves(swept(cells, [scored(one, SAFE) for one in cells]))
        assert [(one.task, one.family, len(one.points)) for one in made] == [
            ("tone", "wanda:{}", 2),
            ("facts", "wanda:{}", 1),
            ("tone", "drop-attn:{}", 1),
        ]

    def test_seeds_are_joined_to_their_mean_and_their_outermost_ends(self):
        rows = [counted_row(70, 10, 0, 20), counted_row(60, 20, 0, 20)]
        results = [scored(cell("random:0.1", seed=n), row, 0.1 + n / 10) for n, row in enumerate(rows)]
        (point,) = curve_of(results).points
        assert point.value == pytest.approx(0.65)
        assert (point.low, point.high) == (rows[1].pruned.low, rows[0].pruned.high)
        assert point.difference.value == pytest.approx(-0.15)
        assert (point.difference.low, point.difference.high) == (rows[1].difference.low, rows[0].difference.high)
        assert (point.seeds, point.seeds_asked) == (2, 2)
        assert point.removed == pytest.approx(0.15)

    def test_seeds_without_effect_are_one_cell(self):
        same = [cell("wanda:0.5"), replace(cell("wanda:0.5"), seed=7)]
        (point,) = curve_of([scored(same[0], SAFE)], same).points
        assert (point.seeds, point.seeds_asked) == (1, 1)

    def test_a_setting_without_an_amount_is_a_curve_of_one_point(self):
        made = curve_of([scored(cell("dense"), SAFE, 0.0)])
        assert (made.knee, made.points[0].amount, made.stop) == (0, None, None)


class TestResultsThatCount:
    def test_the_last_result_without_an_error_counts(self):
        one = cell("wanda:0.5")
        first, second = scored(one, SAFE), scored(one, BROKEN)
        for results in ([failed(one), first, second], [first, failed(one), second], [first, second, failed(one)]):
            assert results_by_key(swept([one], results)) == {str(one.key): second}

    def test_of_errors_the_last_one_counts(self):
        one = cell("wanda:0.5")
        assert curve_of([failed(one, "a"), failed(one, "b")], [one]).points[0].errors == ("Out of memory: b",)

    def test_results_that_the_plan_does_not_ask_for_are_left_out(self):
        results = [scored(cell(f"wanda:{n}"), SAFE) for n in (0.1, 0.2)]
        assert [point.setting for point in curve_of(results, [cell("wanda:0.2")]).points] == ["wanda:0.2"]


class TestHeld:
    @pytest.mark.parametrize(
        ("row", "held", "doubt"),
        [
            (SAFE, Held.SAFE, None),
            (BROKEN, Held.BROKEN, None),
            (TOO_FEW, Held.UNDECIDED, Doubt.TOO_FEW),
            (BORDERLINE, Held.UNDECIDED, Doubt.BORDERLINE),
            (AT_CHANCE, Held.UNDECIDED, Doubt.NOTHING_TO_LOSE),
            (counted_row(0, of=10), Held.UNDECIDED, Doubt.MISSING),
            (counted_row(1000, of=1001), Held.UNDECIDED, Doubt.MISSING),
            (replace(SAFE, pruned=Interval(math.nan, 0, 1)), Held.UNDECIDED, Doubt.NOT_FINITE),
        ],
    )
    def test_a_point_is_held_by_the_verdicts_rule(self, row, held, doubt):
        (point,) = curve_of([scored(cell("wanda:0.5"), row)]).points
        assert (point.held, point.doubt) == (held, doubt)

    def test_a_figure_that_is_not_finite_is_no_figure(self):
        (point,) = curve_of([scored(cell("wanda:0.5"), replace(SAFE, pruned=Interval(math.nan, 0, 1)))]).points
        assert (point.value, point.low, point.high, point.difference, point.seeds) == (None, None, None, None, 0)

    def test_an_error_is_told_from_a_cell_that_is_not_computed(self):
        cells = [cell("wanda:0.1"), cell("wanda:0.2")]
        error, missing = curve_of([failed(cells[0])], cells).points
        assert (error.held, error.doubt) == (Held.UNDECIDED, Doubt.ERROR)
        assert error.errors == ("Out of memory: it does not fit.",)
        assert (missing.held, missing.doubt, missing.errors) == (Held.UNDECIDED, Doubt.MISSING, ())
        assert error.removed is missing.removed is None

    @pytest.mark.parametrize(
        ("second", "held", "doubt"),
        [
            (lambda one: scored(one, SAFE), Held.SAFE, None),
            (lambda one: scored(one, TOO_FEW), Held.UNDECIDED, Doubt.TOO_FEW),
            (failed, Held.UNDECIDED, Doubt.ERROR),
            (lambda one: scored(one, BROKEN), Held.BROKEN, None),
        ],
    )
    def test_the_worst_seed_counts(self, second, held, doubt):
        one, other = (cell("random:0.1", seed=n) for n in (0, 1))
        (point,) = curve_of([scored(one, SAFE), second(other)]).points
        assert (point.held, point.doubt) == (held, doubt)
        (alone,) = curve_of([scored(one, SAFE)], [one, other]).points
        assert (alone.held, alone.doubt, alone.seeds, alone.seeds_asked) == (Held.UNDECIDED, Doubt.MISSING, 1, 2)

    def test_another_margin_judges_the_same_intervals(self):
        result = scored(cell("wanda:0.5"), TOO_FEW)
        at = {margin: curve_of([result], margin=margin).points[0] for margin in (0.02, 0.2)}
        assert at[0.2].held is Held.SAFE
        assert at[0.02].items_needed == TOO_FEW.items_needed
        assert at[0.2].items_needed is None
        assert at[0.02].difference == at[0.2].difference


class TestKnee:
    def knee(self, *rows):
        results = [scored(cell(f"drop-attn:{n}"), row) for n, row in enumerate(rows, 1)]
        return curve_of(results)

    @pytest.mark.parametrize(
        ("rows", "knee", "stop"),
        [
            ((SAFE,), 0, None),
            ((BROKEN,), None, 0),
            ((SAFE, SAFE, BROKEN), 1, 2),
            ((SAFE, BROKEN, SAFE), 0, 1),
            ((SAFE, TOO_FEW, SAFE), 0, 1),
            ((BORDERLINE, SAFE), None, 0),
            ((AT_CHANCE, AT_CHANCE), None, 0),
            ((SAFE, SAFE), 1, None),
        ],
    )
    def test_it_is_the_largest_amount_below_which_all_is_safe(self, rows, knee, stop):
        made = self.knee(*rows)
        assert made.knee == knee
        assert made.at_knee == (None if knee is None else made.points[knee])
        assert made.stop == (None if stop is None else made.points[stop])

    def test_an_error_and_a_cell_not_computed_stop_it(self):
        cells = [cell(f"drop-attn:{n}") for n in (1, 2, 3)]
        safe = [scored(one, SAFE) for one in cells]
        assert curve_of([safe[0], failed(cells[1]), safe[2]], cells).knee == 0
        stopped = curve_of([safe[0], safe[2]], cells)
        assert (stopped.knee, stopped.stop.doubt) == (0, Doubt.MISSING)
        assert curve_of([], cells).knee is None

    def test_of_one_amount_the_safe_setting_is_the_knee_and_the_other_one_stops(self):
        ratio, pattern = cell("wanda:0.5"), replace(cell("wanda:2", amount=0.5), setting="wanda:2:4")
        for results in ([scored(ratio, SAFE), scored(pattern, BROKEN)], [scored(pattern, BROKEN), scored(ratio, SAFE)]):
            made = curve_of([*results, scored(cell("wanda:0.6"), SAFE)])
            assert made.at_knee.setting == "wanda:0.5"
            assert made.stop.setting == "wanda:2:4"


class TestPrompts:
    RUN = replace(summarise([]), kl_shared=Spread(2, 0.5, 0.5, 0.5, 0.5, 0.5), perplexity_ratio=math.inf, scored=2)

    def test_a_prompt_has_a_figure_and_no_verdict(self):
        made = curve_of([stepped(cell("wanda:0.5", "prompt 1"), self.RUN)])
        (point,) = made.points
        assert (made.figure, made.kind, made.dense, made.chance, made.knee) == (
            "kl_shared.mean",
            None,
            None,
            None,
            None,
        )
        assert (point.value, point.low, point.high, point.difference) == (0.5, 0.5, 0.5, None)
        assert (point.held, point.doubt) == (Held.UNDECIDED, Doubt.UNJUDGED)

    def test_several_seeds_span_from_the_lowest_to_the_highest(self):
        runs = [replace(self.RUN, drift=drift) for drift in (1.0, 4.0, 4.0)]
        results = [stepped(cell("wanda:0.5", "prompt 1", seed=n), run) for n, run in enumerate(runs)]
        (point,) = curve_of(results, figure="drift").points
        assert (point.value, point.low, point.high, point.seeds) == (3.0, 1.0, 4.0, 3)

    @pytest.mark.parametrize("figure", ["perplexity_ratio", "half_life", "agree_rate", "kl.mean"])
    def test_an_infinite_figure_and_one_that_is_not_there_are_none(self, figure):
        (point,) = curve_of([stepped(cell("wanda:0.5", "prompt 1"), self.RUN)], figure=figure).points
        assert (point.value, point.held, point.doubt) == (None, Held.UNDECIDED, Doubt.NOT_FINITE)

    def test_its_loss_is_its_figure(self):
        made = [curve_of([stepped(cell("wanda:0.5", "prompt 1"), self.RUN)])]
        assert [one.lost for one in pareto(made)] == [0.5]
        assert [(one.lost, one.lost_low) for one in pareto(made, higher_is_better=True)] == [(-0.5, -0.5)]


class TestPareto:
    def points(self, *points):
        """Each point is the share removed and how many of 100 items are lost."""
        results = [
            scored(cell(f"drop-attn:{n}"), counted_row(90 - lost, lost, 0, 10), removed)
            for n, (removed, lost) in enumerate(points, 1)
        ]
        return pareto([curve_of(results)])

    def test_the_front_holds_what_no_other_setting_beats(self):
        made = self.points((0.1, 1), (0.2, 5), (0.3, 4), (0.3, 9), (0.5, 20), (0.4, 20))
        assert [(one.removed, round(100 * one.lost), one.front) for one in made] == [
            (0.1, 1, True),
            (0.2, 5, False),
            (0.3, 4, True),
            (0.3, 9, False),
            (0.4, 20, False),
            (0.5, 20, True),
        ]

    def test_settings_that_are_equal_in_both_are_all_on_the_front(self):
        assert [one.front for one in self.points((0.2, 3), (0.2, 3), (0.1, 3))] == [False, True, True]

    def test_families_of_one_task_compete_and_tasks_do_not(self):
        cells = [cell("wanda:0.5"), cell("drop-attn:1"), cell("wanda:0.5", "tone"), cell("drop-attn:1", "tone")]
        rows = [counted_row(90, 5, 0, 5), counted_row(90, 9, 0, 1), counted_row(90, 9, 0, 1), counted_row(90, 5, 0, 5)]
        results = [scored(one, row, share) for one, row, share in zip(cells, rows, (0.4, 0.1, 0.4, 0.1), strict=True)]
        made = pareto(curves(swept(cells, results)))
        assert {(one.task, one.setting): one.front for one in made} == {
            ("facts", "wanda:0.5"): True,
            ("facts", "drop-attn:1"): False,
            ("tone", "wanda:0.5"): True,
            ("tone", "drop-attn:1"): True,
        }

    def test_the_loss_has_the_differences_interval_turned_round(self):
        row = counted_row(70, 9, 2, 19)
        (point,) = pareto([curve_of([scored(cell("wanda:0.5"), row)])])
        assert (point.lost, point.lost_low, point.lost_high) == (
            -row.difference.value,
            -row.difference.high,
            -row.difference.low,
        )

    def test_an_exact_copy_loses_exactly_zero(self):
        (point,) = pareto([curve_of([scored(cell("wanda:0.5"), counted_row(90, 0, 0, 10))])])
        assert math.copysign(1, point.lost) == 1
        assert point.lost == 0

    def test_points_without_figures_are_left_out_and_doubts_are_kept(self):
        cells = [cell(f"drop-attn:{n}") for n in (1, 2, 3)]
        made = pareto([curve_of([scored(cells[0], AT_CHANCE), failed(cells[1])], cells)])
        assert [(one.setting, one.doubt) for one in made] == [("drop-attn:1", Doubt.NOTHING_TO_LOSE)]


def test_curves_need_no_torch():
    code = "import sys, probes.sweep.curves; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
