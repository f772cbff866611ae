"""The verdict on items whose results are made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from probes.schema.errors import BadInput
from probes.schema.items import TaskKind
from probes.schema.task_results import GenerationFigures, OptionFigures
from probes.schema.verdict import FEWEST_FOR_CHANCE, MOST_NEEDED, Outcome
from probes.tasks.intervals import Paired, difference_interval, mcnemar, wilson
from probes.tasks.judge import exact_copy, fewest_for_safe, judge, rejudged
from tests.support.task_results import (
    answered,
    collection,
    counted,
    found,
    generated,
    item_names,
    prompts,
    questions,
    ranked,
    spaces,
)


def row(items, results, margin=0.02, level=0.95):
    return judge(found(results), [items], margin, level).rows[0]


class TestScores:
    def test_intervals_are_those_of_the_table(self):
        items = questions(50)
        made = row(items, counted(items, 30, 9, 2, 9), level=0.9)
        assert made.dense == wilson(39, 50, 0.9)
        assert made.pruned == wilson(32, 50, 0.9)
        assert made.difference == difference_interval(Paired(30, 9, 2, 9), 0.9)
        assert made.mcnemar == mcnemar(9, 2)
        assert (made.lost, made.gained, made.items, made.of, made.chance) == (9, 2, 50, 50, 0.25)
        assert made.figure == "accuracy"

    def test_an_exact_copy_differs_by_exactly_zero(self):
        items = questions(60)
        made = row(items, counted(items, 50, neither=10))
        assert made.difference.value == 0.0
        assert (made.mcnemar, made.agreement, made.lost, made.gained) == (None, 1.0, 0, 0)

    def test_wrong_answers_agree_only_if_they_are_the_same(self):
        items = questions(40)
        results = counted(items, 30, neither=10)
        results[-1] = replace(results[-1], pruned=answered(False, choice="another"))
        assert row(items, results).agreement == 39 / 40

    def test_retrieval_is_judged_by_its_first_document(self):
        items = collection(40, 50)
        made = row(items, ranked(items, [(1, 1)] * 30 + [(1, 2)] * 4 + [(3, 1)] * 2 + [(2, 9)] * 4))
        assert made.figure == "top-1"
        assert (made.dense.value, made.pruned.value) == (34 / 40, 32 / 40)
        figures = {one.name: one for one in made.more}
        assert (figures["recall@5"].dense, figures["recall@5"].pruned) == (1.0, 0.9)
        assert figures["MRR"].dense == pytest.approx((34 + 2 / 3 + 4 / 2) / 40)
        assert figures["MRR"].difference.low < figures["MRR"].difference.value < figures["MRR"].difference.high
        assert figures["tau-b"].dense == 0.5
        assert figures["tau-b"].of_both

    def test_scores_between_right_and_wrong_are_bootstrapped(self):
        items = prompts(40)
        results = [
            replace(one, dense=answered(True, 0.9), pruned=answered(False, 0.3 + 0.01 * place))
            for place, one in enumerate(counted(items, 40))
        ]
        made = row(items, results)
        assert (made.figure, made.mcnemar) == ("mean score", None)
        assert made.dense.value == pytest.approx(0.9)
        assert made.difference.value == pytest.approx(0.3 + 0.195 - 0.9)
        assert made.outcome is Outcome.BROKEN

    def test_the_later_result_of_an_item_counts_and_foreign_ones_do_not(self):
        items = questions(30)
        first, later = counted(items, 0, neither=30), counted(items, 30)
        foreign = replace(later[0], item="another")
        assert row(items, [*first, *later, foreign, replace(foreign, task="elsewhere")]).dense.value == 1.0


class TestOutcome:
    def test_safe_if_the_interval_ends_above_minus_the_margin(self):
        items = questions(300)
        assert row(items, counted(items, 290, neither=10)).outcome is Outcome.SAFE

    def test_broken_if_it_ends_below(self):
        items = questions(60)
        made = row(items, counted(items, 20, 35, 1, 4))
        assert made.outcome is Outcome.BROKEN
        assert made.survives is False

    def test_the_margin_decides(self):
        items = questions(100)
        results = counted(items, 90, 6, 2, 2)
        assert row(items, results, 0.02).outcome is Outcome.TOO_FEW
        assert row(items, results, 0.2).outcome is Outcome.SAFE
        assert row(items, counted(items, 60, 30, 2, 8), 0.02).outcome is Outcome.BROKEN

    @pytest.mark.parametrize("counts", [(80, 0, 0, 0), (60, 4, 4, 12), (50, 9, 3, 18)])
    def test_too_few_names_the_number_at_which_it_is_decided(self, counts):
        items = questions(80)
        made = row(items, counted(items, *counts))
        assert made.outcome is Outcome.TOO_FEW
        table = Paired(*map(float, counts))
        at, before = (difference_interval(table.scaled(made.items_needed - less)) for less in (0, 1))
        assert at.low >= -0.02 or at.high < -0.02
        assert before.low < -0.02 <= before.high

    def test_borderline_if_the_estimate_is_minus_the_margin(self):
        items = questions(100)
        made = row(items, counted(items, 80, 5, 3, 12))
        assert made.difference.value == -0.02
        assert (made.outcome, made.items_needed) == (Outcome.BORDERLINE, None)

    def test_borderline_if_more_than_the_most_items_are_needed(self):
        items = questions(1000)
        made = row(items, counted(items, 800, 60, 41, 99))
        assert made.outcome is Outcome.BORDERLINE
        gone = difference_interval(Paired(800, 60, 41, 99).scaled(MOST_NEEDED))
        assert gone.low < -0.02 <= gone.high

    def test_nothing_to_lose_where_the_dense_model_guesses(self):
        items = questions(60)
        assert row(items, counted(items, 5, 14, 1, 40)).outcome is Outcome.NOTHING_TO_LOSE
        text = prompts(30)
        assert row(text, counted(text, 0, neither=30)).outcome is Outcome.NOTHING_TO_LOSE

    def test_few_items_do_not_say_that_the_dense_model_guesses(self):
        items = questions(60)
        made = row(items, counted(items, 2, 0, 0, 3))
        assert made.outcome is Outcome.TOO_FEW
        assert FEWEST_FOR_CHANCE <= made.items_needed <= MOST_NEEDED

    @pytest.mark.parametrize("counts", [(1,), (0, 1), (0, 0, 1), (0, 0, 0, 1)])
    def test_one_item_decides_nothing(self, counts):
        items = questions(60)
        assert row(items, counted(items, *counts)).outcome is Outcome.TOO_FEW

    def test_scores_that_are_undecided_name_a_number_too(self):
        items = prompts(30)
        results = [
            replace(one, dense=answered(True, 0.5), pruned=answered(False, 0.5 + (0.3 if place % 2 else -0.3)))
            for place, one in enumerate(counted(items, 30))
        ]
        made = row(items, results)
        assert made.outcome is Outcome.TOO_FEW
        assert 300 < made.items_needed < 3000


class TestFurtherFigures:
    def test_each_label_set_is_counted(self):
        items = questions(40, kind=TaskKind.CLASSIFICATION, options=2, groups=("mood", "topic"))
        results = [replace(one, pruned=answered(place % 2 == 0)) for place, one in enumerate(counted(items, 40))]
        figures = {one.name: one for one in row(items, results).more}
        assert (figures["accuracy: mood"].pruned, figures["accuracy: topic"].pruned) == (1.0, 0.0)
        assert figures["accuracy: topic"].items == 20
        assert figures["accuracy: topic"].difference == difference_interval(Paired(0, 20, 0, 0))

    def test_one_group_is_the_task_itself(self):
        items = questions(40, groups=("all",))
        assert row(items, counted(items, 40)).more == ()

    def test_accuracy_per_byte_and_the_mass_on_the_options(self):
        items = questions(40)
        figures = OptionFigures((0.5, 0.5), (0.5, 0.5), 0.8, 0.6, 0.1, 0.1, 0.9, (), "option 0", "option 1")
        results = [replace(one, options=figures) for one in counted(items, 40)]
        named = {one.name: (one.dense, one.pruned) for one in row(items, results).more}
        assert named == {"accuracy per byte": (1.0, 0.0), "mass on the options": pytest.approx((0.8, 0.6))}

    def test_generation_counts_tokens(self):
        items = prompts(3)
        made = generated(
            items,
            [
                GenerationFigures(10, 5.0, 0.9, 4, 0.1, 3.0),
                GenerationFigures(30, 3.0, 1.0, None, 0.9, None),
                GenerationFigures(20, 4.0, 0.5, 2, 0.2, 7.0),
            ],
        )
        figures = {one.name: one.dense for one in row(items, made).more}
        assert figures["KL a token"] == 12 / 60
        assert figures["same top token"] == pytest.approx((9 + 30 + 10) / 60)
        assert figures["without a split"] == pytest.approx(1 / 3)
        assert (figures["first split (median)"], figures["half-life (median)"]) == (4, 7.0)

    def test_a_median_that_is_not_reached_is_none(self):
        items = prompts(2)
        made = generated(items, [GenerationFigures(9, 0.1, 1.0, None, 0.9, None)] * 2)
        assert {one.name: one.dense for one in row(items, made).more}["half-life (median)"] is None


class TestSpaces:
    def test_means_of_what_is_lost(self):
        items = questions(2)
        one, two = counted(items, 2)
        near, far = spaces(0.1, 0.2, 0.3, 1.0), spaces(0.3, 0.4, 0.5, 3.0)
        loss = row(items, [replace(one, spaces=near), replace(two, spaces=far)]).spaces
        assert (loss.h, loss.z, loss.p, loss.kl) == pytest.approx((0.2, 0.3, 0.4, 2.0))
        assert (loss.items, loss.nonfinite, loss.options_p) == (2, 0, None)

    def test_items_without_finite_figures_are_left_out_and_counted(self):
        items = questions(3)
        one, two, three = counted(items, 3)
        broken = replace(two, spaces=spaces(kl=float("inf")))
        loss = row(items, [one, broken, replace(three, spaces=None)]).spaces
        assert (loss.items, loss.nonfinite) == (1, 2)
        assert row(items, [broken]).spaces is None


class TestVerdict:
    def test_unfinished_tasks_have_rows(self):
        sets = [questions(40), prompts(20)]
        made = judge(found(counted(sets[0], 10)), sets, seconds_left=9.0)
        assert (made.done, made.of, made.final, made.seconds_left) == (10, 60, False, 9.0)
        assert [one.items for one in made.rows] == [10, 0]
        empty = made.rows[1]
        assert (empty.outcome, empty.items_needed, empty.spaces) == (Outcome.TOO_FEW, None, None)

    def test_without_any_item(self):
        made = judge(found(), [questions(0)])
        assert made.final
        assert made.rows[0].difference.low == -1.0

    def test_notes_of_sets_and_items_are_counted(self):
        items = replace(collection(4, 9), notes=("2 lines were left out.",))
        results = [replace(one, notes=("document cut to 2,048 tokens",)) for one in ranked(items, [(1, 1)] * 3)]
        assert judge(found(results), [items]).notes == (
            "passages: 2 lines were left out.",
            "passages, 3 items: document cut to 2,048 tokens",
        )

    def test_the_names_are_those_of_the_results(self):
        made = judge(found(), [])
        assert (made.dense, made.setting, made.rows, made.final) == ("dense-model", "wanda:0.5", (), True)

    @pytest.mark.parametrize(
        ("margin", "level"), [(-0.01, 0.95), (1.0, 0.95), (float("nan"), 0.95), (0.02, 1.0), (0.02, 0.4)]
    )
    def test_margins_and_levels_are_checked(self, margin, level):
        with pytest.raises(BadInput, match="is no"):
            judge(found(), [], margin, level)

    def test_items_have_the_names_that_the_judge_looks_for(self):
        for items in (questions(3), prompts(3), collection(3, 5)):
            assert row(items, counted(items, len(item_names(items)))).items == 3


class TestAnotherMargin:
    @pytest.mark.parametrize(
        "counts", [(98, 2), (60, 2), (100, 100), (1000,), (25, 0, 0, 75), (5, 1), (), (60, 8, 3, 29)]
    )
    @pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
    def test_a_row_is_judged_again_as_its_results_are(self, counts, margin):
        items = questions(sum(counts) or 5)
        results = counted(items, *(counts or (0,)))
        assert rejudged(row(items, results), margin, 0.95) == row(items, results, margin)

    def test_a_mean_score_is_judged_again_as_its_results_are(self):
        items = prompts(40)
        scores = [(0.5, 0.4 if n % 3 else 0.5) for n in range(40)]
        results = [
            replace(one, dense=answered(True, dense), pruned=answered(True, pruned))
            for one, (dense, pruned) in zip(counted(items, 40), scores, strict=True)
        ]
        for margin in (0.02, 0.07, 0.3):
            assert rejudged(row(items, results), margin, 0.95) == row(items, results, margin)

    def test_another_level_makes_the_intervals_again(self):
        items = questions(100)
        results = counted(items, 60, 8, 3, 29)
        assert replace(rejudged(row(items, results), 0.02, 0.8), more=()) == replace(
            row(items, results, level=0.8), more=()
        )

    @pytest.mark.parametrize("counts", [(98, 2), (60, 8, 3, 29), (300, 4, 0, 20)])
    def test_an_exact_copy_is_judged_as_results_without_a_difference(self, counts):
        items = questions(sum(counts))
        both, lost, gained, neither = (*counts, 0, 0, 0)[:4]
        copy = row(items, counted(items, both + lost, 0, 0, gained + neither))
        found = exact_copy(row(items, counted(items, *counts)), 0.02, 0.95)
        assert replace(found, spaces=None, more=()) == replace(copy, spaces=None, more=())


@pytest.mark.parametrize(("margin", "level"), [(0.1, 0.95), (0.02, 0.95), (0.2, 0.99)])
def test_the_fewest_items_for_safe_are_those_whose_exact_copy_just_is(margin: float, level: float) -> None:
    fewest = fewest_for_safe(margin, level)
    assert fewest is not None

    def safe(items: int) -> list[int]:
        """With how many right answers an exact copy is safe."""
        tables = [(right, Paired(right, 0, 0, items - right)) for right in range(items + 1)]
        return [right for right, table in tables if difference_interval(table, level).low >= -margin]

    assert fewest // 2 in safe(fewest)
    assert not any(safe(less) for less in range(1, fewest)), "whatever the dense model has right"
    assert fewest_for_safe(0.0, level) is None
