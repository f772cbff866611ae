"""Ratios by layer from what each layer costs."""

from __future__ import annotations

import math

import pytest

from probes.sweep.layer_ratios import SPREAD, LayerCost, growth, layer_ratios, table_lines
from tests.support.allocation import amounts


def mean(ratios, costs):
    sizes = {one.layer: one.weights for one in costs}
    return sum(ratios[layer] * sizes[layer] for layer in sizes) / sum(sizes.values())


def total(ratios, costs, slope):
    return sum(one.kl * math.exp(slope * ratios[one.layer]) for one in costs)


class TestRatios:
    def test_equal_layers_have_equal_ratios(self):
        costs = [LayerCost(n, 0.3, 100) for n in range(4)]
        assert layer_ratios(0.5, costs, 4.0) == pytest.approx(dict.fromkeys(range(4), 0.5))

    def test_two_layers_differ_by_the_logarithm_of_their_costs(self):
        costs = [LayerCost(0, 0.2, 100), LayerCost(1, 0.1, 100)]
        ratios = layer_ratios(0.5, costs, 10.0)
        assert ratios[1] - ratios[0] == pytest.approx(math.log(2) / 10)
        assert mean(ratios, costs) == pytest.approx(0.5)

    def test_no_other_ratios_of_the_same_mean_cost_less(self):
        costs = [LayerCost(0, 0.2, 100), LayerCost(1, 0.1, 300), LayerCost(2, 0.15, 200)]
        best = layer_ratios(0.5, costs, 12.0)
        assert mean(best, costs) == pytest.approx(0.5)
        for one, other in ((0, 1), (1, 2), (2, 0)):
            sizes = {cost.layer: cost.weights for cost in costs}
            for moved in (1e-3, -1e-3):
                changed = dict(best)
                changed[one] += moved / sizes[one]
                changed[other] -= moved / sizes[other]
                assert total(changed, costs, 12.0) >= total(best, costs, 12.0)

    def test_a_ratio_stays_near_the_mean_and_the_mean_is_kept(self):
        costs = [LayerCost(0, 1e6, 100), *(LayerCost(n, 0.1, 100) for n in range(1, 10))]
        for ratio in (0.05, 0.5, 0.95):
            ratios = layer_ratios(ratio, costs, 1.0)
            assert mean(ratios, costs) == pytest.approx(ratio)
            assert all(max(0, ratio - SPREAD) <= one <= min(1, ratio + SPREAD) for one in ratios.values())
        assert layer_ratios(0.5, costs, 1.0)[0] == pytest.approx(0.5 - SPREAD)

    def test_a_layer_that_costs_nothing_counts_as_the_least_costly_one(self):
        costs = [LayerCost(0, 0.0, 100), LayerCost(1, 0.1, 100), LayerCost(2, 0.2, 100)]
        ratios = layer_ratios(0.5, costs, 10.0)
        assert ratios[0] == ratios[1] > ratios[2]
        assert layer_ratios(0.5, [LayerCost(n, 0.0, 1) for n in (0, 1)], 10.0) == pytest.approx({0: 0.5, 1: 0.5})


class TestGrowth:
    def test_it_is_the_slope_of_the_logarithm(self):
        assert growth((0.3, 0.5), (math.exp(1), math.exp(2))) == pytest.approx(5)

    @pytest.mark.parametrize("kls", [(0.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, math.inf), (math.nan, 1.0)])
    def test_what_does_not_grow_has_none(self, kls):
        assert growth((0.3, 0.5), kls) is None
        assert growth((0.5, 0.5), (1.0, 2.0)) is None


def test_a_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text(table_lines({0: 0.25, 1: 0.625}, "made by hand"), "utf-8")
    read = amounts(f"magnitude:table={path}")
    assert {(name[0], amount) for name, amount in read.items()} == {("0", "magnitude 0.25"), ("1", "magnitude 0.625")}
