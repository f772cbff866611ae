"""Costs are measured beside their units, and a planted fault is found."""

from __future__ import annotations

import pytest
import torch

from probes.bench.estimate_memory import estimate_memory
from probes.bench.explanations import HALF_PASS, STEP, ExplainCost, explain_costs
from probes.bench.plants import KINDS, damage, plant_faults
from probes.explain.sublayers import take_apart
from probes.models.loaded import Loaded
from probes.schema.errors import Cancelled
from probes.schema.part import Part
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT
from tests.support.stepping import damaged
from tests.support.tiny import tiny


def test_every_cost_has_its_limit_and_its_unit() -> None:
    dense = tiny("llama")
    found = explain_costs(dense, damaged(dense), CONTEXT, tokens=20, rounds=2)
    assert [(one.per, one.limit, len(one.seconds)) for one in found.times] == [
        (STEP, 4, 2),
        (STEP, 8, 2),
        (HALF_PASS, 6, 2),
    ]
    assert all(one.ratio > 0 for one in found.times)
    assert ExplainCost("x", (1.0, 4.0, 9.0), STEP, (1.0, 2.0, 3.0), None).ratio == 2


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "falcon", "mixtral"])
def test_an_estimate_keeps_the_activations_of_a_pass_and_a_gradient_of_the_stream_a_layer(architecture: str) -> None:
    dense = tiny(architecture, vocab_size=4096)  # so that the peak is where the whole pass is kept
    sublayers = take_apart(dense, damaged(dense))
    found = estimate_memory(sublayers, CONTEXT)
    stream = len(CONTEXT) * dense.config.hidden_size * 4
    assert 12 * stream < found.peak <= found.limit
    assert estimate_memory(sublayers, CONTEXT) == found
    longer = estimate_memory(sublayers, [*CONTEXT, 4, 4])
    assert longer.peak > found.peak


def test_the_only_fault_heals_the_whole_kl() -> None:
    twin = Twin(tiny("llama"))
    found = plant_faults(twin, CONTEXT, plants=6, positions=4)
    assert [one.kind for one in found] == [*KINDS, *KINDS]
    for one in found:
        assert one.kl > 0
        assert (one.rank, one.estimated_rank, one.healed) == (1, 1, 0)
    assert not twin.state.changes
    with pytest.raises(Cancelled):
        plant_faults(twin, CONTEXT, plants=1, work=Work(cancelled=lambda: True))


@pytest.mark.demo
def test_a_fault_in_the_demo_model_is_found(demo: Loaded) -> None:
    twin = Twin(demo.model)
    for matrix in twin.anatomy.matrices:
        weight = twin.dense_weight(matrix.name).abs()
        twin.mask(matrix.name, weight > 0.3 * weight.mean())  # about a fifth
    (found,) = plant_faults(twin, range(1000, 1016), plants=1, positions=8)
    assert found.matters
    assert found.rank == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_in_one_sublayer_only(kind: str) -> None:
    twin = Twin(tiny("qwen3"))
    damage(twin, Part("mlp", 2), kind, seed=0)
    changed = {
        name
        for name, tensor in twin.model.state_dict().items()
        if not torch.equal(tensor, twin.dense.state_dict()[name])
    }
    assert changed == {f"model.layers.2.mlp.{name}_proj.weight" for name in ("gate", "up", "down")}
    again = Twin(twin.dense)
    damage(again, Part("mlp", 2), kind, seed=0)
    assert again.state.hash == twin.state.hash
