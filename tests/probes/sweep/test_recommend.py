"""The search for a recommendation, on scripted models whose scores are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from probes.schema.errors import BadInput
from probes.schema.prune_setting import Count, Owl, Ratio, Table, parse
from probes.schema.sweep import Allocation, Candidate, CellResult, Held
from probes.sweep.amounts import SEARCHED, Bisection, Family, families
from probes.sweep.layer_ratios import LayerCost
from probes.sweep.recommend import Question, recommend
from tests.support.sweeps import cell, counted_row, failed, scored

ITEMS = 1000
SHARES = {"wanda": 0.8, "magnitude": 0.8, "drop-attn": 0.01}
"""Parameters removed for each unit of a method's amount."""


class Scripted:
    """Loses `lost(setting, amount, task)` of 1000 items, of which the dense model has 900 right."""

    def __init__(self, lost: Callable[[str, float, str], int | None], items: int = ITEMS) -> None:
        self.lost, self.items = lost, items
        self.asked: list[tuple[str, str]] = []
        self.tables: dict[str, dict[int, float]] = {}
        self.costs: Sequence[LayerCost] = ()

    def scored(self, settings: Sequence[Candidate], task: str) -> Sequence[CellResult]:
        return [self._scored(one, task) for one in settings]

    def _scored(self, candidate: Candidate, task: str) -> CellResult:
        assert (candidate.setting, task) not in self.asked, "what is known is not asked again"
        self.asked.append((candidate.setting, task))
        (part,) = parse(candidate.setting).parts
        amount = part.amount
        match amount:
            case Ratio(value) | Owl(value) | Count(value):
                mean = float(value)
            case Table():
                mean = candidate.amount
        lost = self.lost(candidate.setting, mean, task)
        if lost is None:
            return failed(cell("wanda:0.5", task))
        right = round(0.9 * self.items)
        row = counted_row(right - lost, lost, 0, self.items - right, task=task)
        return scored(cell("wanda:0.5", task), row, mean * SHARES[part.method])

    def layer_costs(self, family: Family, amount: float) -> Sequence[LayerCost]:
        return self.costs

    def kl(self, setting: Candidate) -> float | None:
        return math.exp(5 * setting.amount)

    def table(self, family: Family, amount: float, ratios: dict[int, float]) -> str:
        path = f"table-{amount:g}.txt"
        self.tables[path] = ratios
        return path


def until(**knees: float) -> Callable[[str, float, str], int]:
    """Loses nothing up to an amount of each method, and a tenth of the items beyond."""

    def lost(setting: str, amount: float, task: str) -> int:
        return 0 if amount <= knees[setting.partition(":")[0].replace("-", "_")] + 1e-9 else ITEMS // 10

    return lost


def found(evaluation, methods="wanda", *, tasks=("facts",), **more):
    more.setdefault("allocated", 0)
    return recommend(families([methods], layers=30), Question(tasks, **more), evaluation)


class TestFamilies:
    def test_ratios_ascend_by_the_step_and_layers_by_one(self):
        wanda, drop = families(["wanda,drop-attn"], layers=4, step=0.25)
        assert wanda.amounts == (0.25, 0.5, 0.75)
        assert drop.amounts == (1.0, 2.0, 3.0)
        assert wanda.at(0.25) == Candidate("wanda:0.25", "wanda:{}", 0.25)
        assert drop.at(2.0) == Candidate("drop-attn:2", "drop-attn:{}", 2.0)

    def test_targets_belong_to_their_method(self):
        of = families(["wanda@layers=3,8-9,drop-attn@layers=2,5", "magnitude@mlp"], layers=30)
        assert [one.text for one in of] == ["wanda:{}@layers=3,8-9", "drop-attn:{}@layers=2,5", "magnitude:{}@mlp"]
        assert of[1].amounts == (1.0, 2.0)

    def test_every_family_makes_settings_that_can_be_read(self):
        for family in families([",".join(SEARCHED)], layers=5, step=0.3):
            for amount in family.amounts:
                assert str(parse(family.at(amount).setting)) == family.at(amount).setting

    @pytest.mark.parametrize("names", ["wand", "wanda,wanda", "dense", "wanda:0.5", "", "wanda@layers"])
    def test_what_is_no_method_is_refused(self, names):
        with pytest.raises(BadInput):
            families([names], layers=30)

    @pytest.mark.parametrize("step", [0, -1, 2, math.nan])
    def test_a_step_is_a_distance_of_two_ratios(self, step):
        with pytest.raises(BadInput):
            families(["wanda"], 30, step)


class TestBisection:
    @pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 19])
    def test_it_finds_every_boundary_in_so_few_answers(self, count):
        amounts = [float(n) for n in range(1, count + 1)]
        for knee in range(count + 1):
            search, answers = Bisection(amounts), 0
            while (amount := search.asks) is not None:
                search.tell(amount <= knee)
                answers += 1
            assert search.best == (float(knee) if knee else None)
            assert answers <= math.ceil(math.log2(count + 1))


class TestSearch:
    @pytest.mark.parametrize("knee", [0.05, 0.3, 0.5, 0.95])
    def test_it_finds_the_knee_of_a_method(self, knee):
        evaluation = Scripted(until(wanda=knee))
        made = found(evaluation)
        assert made.best.candidate == Candidate(f"wanda:{knee:g}", "wanda:{}", knee)
        assert made.best.held is Held.SAFE
        assert made.best.removed == pytest.approx(0.8 * knee)
        assert len(made.trials) <= 5
        assert made.not_broken is None

    def test_the_method_that_removes_the_most_parameters_wins(self):
        evaluation = Scripted(until(wanda=0.1, magnitude=0.05, drop_attn=12))
        assert found(evaluation, "wanda,magnitude,drop-attn").best.candidate.setting == "drop-attn:12"
        evaluation = Scripted(until(wanda=0.2, magnitude=0.05, drop_attn=12))
        assert found(evaluation, "wanda,magnitude,drop-attn").best.candidate.setting == "wanda:0.2"

    def test_a_setting_must_be_safe_on_all_tasks(self):
        knees = {"facts": 0.6, "tone": 0.3, "answers": 0.45}
        evaluation = Scripted(lambda _, amount, task: 0 if amount <= knees[task] + 1e-9 else 100)
        made = found(evaluation, tasks=tuple(knees))
        assert made.best.candidate.setting == "wanda:0.3"
        assert {row.task for row in made.best.rows} == set(knees)

    def test_a_setting_that_one_task_breaks_is_not_scored_on_the_others(self):
        evaluation = Scripted(until(wanda=0.3))
        made = found(evaluation, tasks=("facts", "tone"))
        unsafe = [one for one in made.trials if one.held is Held.BROKEN]
        assert [len(one.rows) for one in unsafe[1:]] == [1] * (len(unsafe) - 1)
        assert len(unsafe[0].rows) == 2

    def test_the_task_that_decides_comes_first(self):
        evaluation = Scripted(lambda _, amount, task: 100 if task == "tone" and amount > 0.07 else 0)
        found(evaluation, tasks=("facts", "tone"))
        assert [task for _, task in evaluation.asked[:3]] == ["facts", "tone", "tone"]

    def test_a_safe_amount_above_an_unsafe_one_is_not_found(self):
        """Bisection takes safety for monotone, and the sentences on what was not tried say so."""
        evaluation = Scripted(lambda _, amount, task: 0 if amount < 0.3 or amount == 0.9 else 100)
        made = found(evaluation)
        assert made.best.candidate.setting == "wanda:0.25"
        assert any("15 of 19 amounts, 0.05 to 0.2, 0.4 to 0.45, 0.55 to 0.95" in line for line in made.not_tried)
        assert any("taken to be safe at all smaller" in line for line in made.not_tried)

    def test_nothing_safe_gives_what_is_not_broken_and_the_items_needed(self):
        evaluation = Scripted(lambda _, amount, task: 25 if amount < 0.42 else 300)
        made = found(evaluation)
        assert made.best is None
        assert made.not_broken.candidate.setting == "wanda:0.4"
        assert made.not_broken.held is Held.UNDECIDED
        assert made.decidable
        assert made.items_needed == made.not_broken.rows[0].items_needed > ITEMS

    def test_all_broken_recommends_nothing(self):
        made = found(Scripted(lambda *_: 300))
        assert (made.best, made.not_broken, made.items_needed) == (None, None, None)
        assert any("taken to be broken at all larger ones" in line for line in made.not_tried)
        assert not any("safe" in line for line in made.not_tried), "no amount is"

    def test_items_that_could_not_show_an_exact_copy_to_be_safe_are_not_searched_for_safety(self):
        evaluation = Scripted(lambda _, amount, task: 0 if amount < 0.42 else 30, items=60)
        made = found(evaluation)
        assert not made.decidable
        assert (made.best, made.not_broken.candidate.setting) == (None, "wanda:0.4")
        assert made.items_needed > 60
        assert len(made.trials) <= 5

    def test_noise_never_makes_an_unsafe_setting_a_recommendation(self):
        for seed in range(20):
            evaluation = Scripted(lambda _, amount, task, seed=seed: int(97 * amount * (seed + 3) * 7919) % 40)
            made = found(evaluation)
            if made.best is not None:
                assert all(row.difference.low >= -0.02 for row in made.best.rows)

    def test_a_setting_that_fails_counts_as_not_safe_and_the_rest_goes_on(self):
        evaluation = Scripted(lambda _, amount, task: None if amount > 0.2 else 0)
        made = found(evaluation)
        assert made.best.candidate.setting == "wanda:0.2"
        failed_ones = {one.candidate.setting: one.held for one in made.trials if one.error is not None}
        assert failed_ones == {"wanda:0.5": Held.UNDECIDED, "wanda:0.25": Held.UNDECIDED}

    def test_if_everything_fails_there_is_no_task_to_judge(self):
        made = found(Scripted(lambda *_: None))
        assert (made.best, made.not_broken, made.tasks, made.nothing_to_lose) == (None, None, (), ())
        assert all(one.error is not None for one in made.trials)

    def test_a_task_in_which_the_dense_model_guesses_is_left_out(self):
        class Guessing(Scripted):
            def _scored(self, candidate, task):
                made = super()._scored(candidate, task)
                return replace(made, row=counted_row(25, 0, 0, 75, task=task)) if task == "tone" else made

        evaluation = Guessing(until(wanda=0.3))
        made = found(evaluation, tasks=("tone", "facts"))
        assert (made.nothing_to_lose, made.tasks) == (("tone",), ("facts",))
        assert made.best.candidate.setting == "wanda:0.3"
        assert [task for _, task in evaluation.asked].count("tone") == 1
        alone = found(Guessing(until(wanda=0.3)), tasks=("tone",))
        assert (alone.best, alone.not_broken, alone.tasks) == (None, None, ())

    def test_a_limit_of_trials_is_kept_and_said(self):
        evaluation = Scripted(until(wanda=0.3, magnitude=0.3))
        made = found(evaluation, "wanda,magnitude", trials=3)
        assert len(made.trials) == 3
        assert any("3 settings were to be tried at most" in line for line in made.not_tried)
        assert not any("left out because" in line for line in made.not_tried), "the limit is the reason"

    def test_each_trial_is_told_when_it_is_known(self):
        told = []
        evaluation = Scripted(until(wanda=0.3))
        made = recommend(families(["wanda"], 30), Question(("facts", "tone"), allocated=0), evaluation, told.append)
        assert [one.candidate for one in told] == [one.candidate for one in made.trials]
        assert told[-1].rows

    def test_the_margin_and_the_level_are_those_of_the_question(self):
        evaluation = Scripted(lambda _, amount, task: int(200 * amount))
        assert found(evaluation, margin=0.1).best.candidate.amount == pytest.approx(0.4)
        assert found(Scripted(evaluation.lost), margin=0.1, level=0.5).best.candidate.amount > 0.4


class TestCounted:
    def test_the_best_of_several_is_judged_again_at_the_level_that_counts_them(self):
        made = found(Scripted(until(wanda=0.3)))
        assert made.counted.tried == len(made.trials)
        assert made.counted.level == pytest.approx(1 - 0.05 / made.counted.tried)
        assert made.counted.held is Held.SAFE

    def test_a_narrow_result_does_not_hold_if_all_that_were_tried_count(self):
        made = found(Scripted(lambda _, amount, task: 12 if amount < 0.3 else 200))
        assert made.best.held is Held.SAFE
        assert made.counted.held is Held.UNDECIDED


def owl_and_table(uniform: float, owl: float, table: float) -> Callable[[str, float, str], int]:
    def lost(setting: str, amount: float, task: str) -> int:
        knee = owl if "owl" in setting else table if "table" in setting else uniform
        return 0 if amount <= knee + 1e-9 else 100

    return lost


class TestAllocation:
    COSTS = (LayerCost(0, 0.4, 10), LayerCost(1, 0.1, 10), LayerCost(2, 0.1, 10))

    def test_larger_amounts_of_the_best_are_tried_by_owl_until_one_is_not_safe(self):
        made = found(Scripted(owl_and_table(0.3, 0.4, 0.3)), allocated=1)
        assert made.best.candidate == Candidate("wanda:owl=0.4", "wanda:{}", 0.4, Allocation.OWL)
        tried = [one.candidate.setting for one in made.trials if one.candidate.allocation is Allocation.OWL]
        assert tried == ["wanda:owl=0.35", "wanda:owl=0.4", "wanda:owl=0.45"]

    def test_a_table_is_made_of_what_each_layer_costs(self):
        evaluation = Scripted(owl_and_table(0.3, 0.3, 0.35))
        evaluation.costs = self.COSTS
        made = found(evaluation, allocated=1)
        assert made.best.candidate == Candidate("wanda:table=table-0.35.txt", "wanda:{}", 0.35, Allocation.SENSITIVITY)
        ratios = evaluation.tables["table-0.35.txt"]
        assert ratios[0] < ratios[1] == ratios[2]
        assert sum(ratios.values()) / 3 == pytest.approx(0.35)

    def test_without_costs_no_table_is_made_and_that_is_said(self):
        made = found(Scripted(owl_and_table(0.3, 0.3, 0.9)), allocated=1)
        assert made.best.candidate.setting == "wanda:0.3"
        assert made.notes == ("No table was made for wanda:{}: the KL could not be measured layer by layer.",)

    def test_only_the_best_families_are_allocated_and_the_others_are_named(self):
        evaluation = Scripted(until(wanda=0.4, magnitude=0.2, drop_attn=3))
        made = found(evaluation, "magnitude,wanda,drop-attn", allocated=1)
        allocated = [one.candidate.family for one in made.trials if one.candidate.allocation is Allocation.OWL]
        assert allocated == ["wanda:{}"]
        assert "Allocation by layer (owl=, table=) of magnitude:{}, drop-attn:{}." in made.not_tried

    def test_what_is_safe_at_its_largest_amount_is_not_allocated(self):
        made = found(Scripted(until(wanda=1)), allocated=1)
        assert made.best.candidate.setting == "wanda:0.95"
        assert "largest amount" in made.notes[0]
