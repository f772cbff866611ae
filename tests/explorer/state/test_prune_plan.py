"""A plan is read from what a setting did, changed cell by cell, and written as a setting that does just that."""

from __future__ import annotations

import pytest

from explorer.sources.toy.source import LAYERS, _report
from explorer.state.prune_plan import Plan, Treatment
from probes.schema.part import Part
from probes.schema.prune_setting import Method, Pattern, Ratio, parse

HALF = Treatment(Method.WANDA, Ratio(0.5))
THIRD = Treatment(Method.MAGNITUDE, Ratio(0.3))
PAIRS = Treatment(Method.WANDA, Pattern(2, 4))


def plan_of(setting: str) -> Plan:
    return Plan.of(_report(setting), LAYERS)


def cells(kind: str, *layers: int) -> set[Part]:
    return {Part(kind, layer) for layer in layers}


def names(plan: Plan, kind: str, *layers: int) -> set[str]:
    return plan.layout.names(cells(kind, *layers))


def written(plan: Plan) -> str:
    return str(plan.setting)


@pytest.mark.parametrize(
    "setting",
    [
        "wanda:0.5",
        "wanda:2:4@mlp",
        "magnitude:0.3@layers=8-21",
        "sparsegpt:0.5@name=up_proj",
        "drop-attn@layers=20,22",
        "drop-attn:2",
        "wanda:0.5+dense@layers=3",
        "wanda:0.5+dense@attn@layers=3+magnitude:0.3@attn@layers=3",
        "wanda:0.5+dense@layers=2-3+drop-attn@layers=20",
        "wanda:owl=0.5",
        "heads:0.25@layers=4+wanda:0.5@mlp",
        "wanda:0.5+dense@layers=3+restore:0.01@file=a.json",
    ],
)
def test_a_setting_that_is_left_alone_is_written_as_it_was(setting: str) -> None:
    assert written(plan_of(setting)) == setting


def test_giving_back_is_written_behind_so_that_all_else_stays() -> None:
    plan = plan_of("wanda:0.5")
    plan = plan.restored(names(plan, "attn", 2, 3))
    assert written(plan) == "wanda:0.5+dense@attn@layers=2-3"
    plan = plan.restored(names(plan, "mlp", 2, 3))
    assert written(plan) == "wanda:0.5+dense@layers=2-3"


def test_what_is_given_back_later_joins_what_was_before() -> None:
    plan = plan_of("wanda:0.5+dense@attn@layers=2")
    assert written(plan.restored(names(plan, "attn", 3))) == "wanda:0.5+dense@attn@layers=2-3"


def test_single_weights_that_were_restored_stay_in_the_beginning() -> None:
    plan = plan_of("wanda:0.5+dense@attn@layers=2+restore:0.01@file=a.json+dense@attn@layers=5")
    plan = plan.restored(names(plan, "attn", 6))
    beginning = "wanda:0.5+dense@attn@layers=2+restore:0.01@file=a.json"
    assert written(plan) == f"{beginning}+dense@attn@layers=5-6"


def test_another_treatment_starts_from_the_dense_weights() -> None:
    plan = plan_of("wanda:0.5")
    plan = plan.treated(names(plan, "mlp", 7), THIRD)
    assert written(plan) == "wanda:0.5+dense@mlp@layers=7+magnitude:0.3@mlp@layers=7"


def test_the_former_treatment_again_is_no_change() -> None:
    plan = plan_of("wanda:0.5")
    changed = plan.treated(names(plan, "mlp", 7), THIRD)
    assert written(changed.treated(names(plan, "mlp", 7), HALF)) == "wanda:0.5"


def test_a_single_matrix_is_named() -> None:
    plan = plan_of("wanda:0.5")
    plan = plan.restored({name for name in names(plan, "mlp", 4) if name.endswith("up_proj")})
    assert written(plan) == "wanda:0.5+dense@layers=4@name=up_proj"


def test_what_was_never_pruned_needs_no_giving_back() -> None:
    plan = plan_of("wanda:0.5@layers=0-9")
    assert written(plan.treated(names(plan, "attn", 20), PAIRS)) == "wanda:0.5@layers=0-9+wanda:2:4@attn@layers=20"


def test_a_drop_is_written_last_and_taken_back_without_a_trace() -> None:
    plan = plan_of("wanda:0.5")
    dropped = plan.dropping(cells("attn", 20, 22))
    assert written(dropped) == "wanda:0.5+drop-attn@layers=20,22"
    both = plan_of(written(dropped)).dropping(cells("mlp", 3))
    assert written(both) == "wanda:0.5+drop-attn@layers=20,22+drop-mlp@layers=3"
    assert written(dropped.treated(names(plan, "attn", 20, 22), HALF)) == "wanda:0.5"


def test_a_drop_that_a_criterion_chose_is_given_back_by_name() -> None:
    plan = plan_of("drop-attn:2")
    layer = max(part.layer for part in plan.dropped)
    assert written(plan.restored(names(plan, "attn", layer))) == f"drop-attn:2+dense@attn@layers={layer}"


def test_painting_over_everything_leaves_nothing_of_the_former_setting() -> None:
    plan = plan_of("wanda:0.5")
    assert written(plan.treated([matrix.name for matrix in plan.layout.matrices], THIRD)) == "magnitude:0.3"


def test_giving_everything_back_is_no_setting() -> None:
    plan = plan_of("wanda:0.5+drop-attn@layers=20")
    assert plan.restored([matrix.name for matrix in plan.layout.matrices]).setting is None


def test_every_written_setting_can_be_read() -> None:
    plan = plan_of("wanda:0.5")
    plan = plan.treated(names(plan, "attn", 1, 5), PAIRS).dropping(cells("mlp", 9)).restored(names(plan, "mlp", 0))
    assert parse(written(plan)) == plan.setting
    assert plan_of(written(plan)).setting == plan.setting
