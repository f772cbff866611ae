"""Figures by layer equal those of truncated models read plainly, and an exact copy differs in nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from probes.explain.layers import measure_layers, read_out
from probes.explain.sublayers import take_apart
from probes.schema.errors import BadInput, Failure
from probes.schema.part import Part
from probes.stepping.cached_model import CachedModel
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT, EXPLAINED, cut, exchanged, kl, plain, two
from tests.support.stepping import damaged, lockstep
from tests.support.tiny import tiny

PARALLEL = ("gpt_neox", "falcon")


def last(model: PreTrainedModel, cache_of: PreTrainedModel) -> Tensor:
    """The logits of a model at the last token, over what another one has written into the cache."""
    cache, ids = DynamicCache(), torch.tensor([CONTEXT])
    with torch.no_grad():
        cache_of(input_ids=ids[:, :-1], cache=cache, use_cache=True)
        logits: Tensor = model(input_ids=ids[:, -1:], cache=cache, use_cache=True).logits[0, -1]
    return logits


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_both_deviations_are_those_of_truncated_models(architecture: str) -> None:
    dense, pruned, sublayers = two(architecture)
    found = measure_layers(CachedModel(dense), CachedModel(pruned), CONTEXT, sublayers)
    assert bool(sublayers.parallel) == (architecture in PARALLEL)
    assert [(row.layer, row.sublayer) for row in found.rows] == [
        (i, kind) for i in range(3) for kind in ("attn", "mlp")
    ]
    for row in found.rows:
        attn, mlp = Part("attn", row.layer), Part("mlp", row.layer)
        silent = "mlp" if row.sublayer == "attn" else ""
        one, other = cut(architecture, dense, row.layer, silent), cut(architecture, pruned, row.layer, silent)
        expected = kl(plain(one)[-1], plain(other)[-1])
        assert math.isclose(row.accumulated.p.kl, expected, rel_tol=1e-4)
        alone = "attn" if row.sublayer == "mlp" and architecture in PARALLEL else silent
        parts = (attn, mlp) if alone == "attn" else (Part(row.sublayer, row.layer),)
        one = cut(architecture, dense, row.layer, alone)
        other = cut(architecture, exchanged(architecture, dense, pruned, *parts), row.layer, alone)
        assert row.same_input is not None
        assert math.isclose(row.same_input.p.kl, kl(last(one, one), last(other, one)), rel_tol=1e-3)


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_an_exact_copy_differs_in_nothing_at_any_step(architecture: str) -> None:
    dense = tiny(architecture)
    twin = Twin(dense)
    sublayers = take_apart(dense, twin.model)
    with lockstep(dense, twin.model, steps=12) as both:
        path = list(both)
        for record in path[::3]:
            found = measure_layers(*both.models, both.shared_context(record.step), sublayers)
            for row in found.rows:
                assert row.same_input is not None
                for figures in (row.same_input, row.accumulated):
                    assert figures.p.kl == figures.z.l2 == figures.h.orthogonal == 0
                    assert figures.h.cos == figures.p.cos == 1
                assert row.lens_dense == row.lens_pruned
            assert found.parting is None


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_the_last_lens_is_the_output_and_the_caches_are_left_as_they_were(architecture: str) -> None:
    dense, pruned, sublayers = two(architecture)
    with lockstep(dense, pruned, steps=6) as both:
        path = list(both)
        record = path[-1]
        found = measure_layers(*both.models, both.shared_context(record.step), sublayers)
        assert record.own is not None
        assert record.dense is not None
        assert record.pruned is not None
        end = found.rows[-1]
        assert (end.accumulated.z, end.accumulated.p.kl) == (record.own.z, record.own.p.kl)
        assert (end.lens_dense.token_id, end.lens_dense.p) == (record.dense.token_id, record.dense.p)
        assert (end.lens_pruned.token_id, end.lens_pruned.p) == (record.pruned.token_id, record.pruned.q)
        both.seek(path[:-1])
        assert both.step() == record


def test_the_reading_of_the_last_state_is_the_models_own() -> None:
    dense, _, sublayers = two("gemma2")  # has a soft-cap after its head
    states: list[Tensor] = []
    norm = dense.get_submodule("model.norm")
    handle = norm.register_forward_pre_hook(lambda _module, args: states.append(args[0]))
    logits = plain(dense)
    handle.remove()
    torch.testing.assert_close(read_out(sublayers, dense, states[0][0]), logits)


def test_one_damaged_sublayer_is_the_only_one_that_deviates_on_the_same_input() -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    sublayers_before = take_apart(dense, twin.model)
    assert not sublayers_before.parallel
    name = "model.layers.1.mlp.up_proj"
    twin.mask(name, torch.rand_like(twin.dense_weight(name)) > 0.5)
    found = measure_layers(CachedModel(dense), CachedModel(twin.model), CONTEXT, take_apart(dense, twin.model))
    deviating = [(row.layer, row.sublayer) for row in found.rows if row.same_input and row.same_input.p.kl > 0]
    assert deviating == [(1, "mlp")]
    accumulated = [(row.layer, row.sublayer) for row in found.rows if row.accumulated.h.orthogonal > 0]
    assert accumulated == [(1, "mlp"), (2, "attn"), (2, "mlp")]


@pytest.mark.parametrize("part", [Part("attn", 1), Part("mlp", 1), Part("block", 1)], ids=str)
def test_a_dropped_sublayer_deviates_and_the_others_do_not(part: Part) -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    twin.drop(part)
    with lockstep(dense, twin.model, steps=4) as both:
        record = list(both)[-1]
        found = measure_layers(*both.models, both.shared_context(4), take_apart(dense, twin.model))
        assert record.own is not None
        assert found.rows[-1].accumulated.p.kl == record.own.p.kl
    deviating = {
        Part(row.sublayer, row.layer) for row in found.rows if row.same_input and row.same_input.h.orthogonal > 0
    }
    assert deviating == set(part.sublayers)


def test_a_layer_from_which_the_lenses_part_for_good() -> None:
    dense, pruned, sublayers = two("qwen3")
    found = measure_layers(CachedModel(dense), CachedModel(pruned), CONTEXT, sublayers)
    same = [row.lens_dense.token_id == row.lens_pruned.token_id for row in found.rows]
    assert not same[-1]
    place = next((i for i in range(len(same) - 1, -1, -1) if same[i]), -1) + 1
    assert found.parting is found.rows[place]


def test_a_nan_names_the_model_and_the_module() -> None:
    dense = tiny("llama")
    pruned = damaged(dense)
    with torch.no_grad():
        pruned.get_submodule("model.layers.1.mlp.up_proj").weight.fill_(math.nan)  # type: ignore[operator,union-attr]
    with pytest.raises(Failure, match=r"pruned model.*model\.layers\.1\.mlp"):
        measure_layers(CachedModel(dense), CachedModel(pruned), CONTEXT, take_apart(dense, pruned))


def test_models_whose_sublayers_cannot_be_set_against_one_another() -> None:
    with pytest.raises(BadInput, match="layer 2 has no counterpart in the pruned model"):
        take_apart(tiny("llama"), tiny("llama", num_hidden_layers=2))
    with pytest.raises(BadInput, match="LlamaForCausalLM and a Qwen3ForCausalLM"):
        take_apart(tiny("llama"), tiny("qwen3"))
    with pytest.raises(BadInput, match="num_key_value_heads is 2 in the dense and 4"):
        take_apart(tiny("llama"), tiny("llama", num_key_value_heads=4))
    with pytest.raises(BadInput, match="MambaForCausalLM can't be told apart"):
        take_apart(tiny("mamba"), tiny("mamba"))


def test_one_layer_is_explained_with_a_note() -> None:
    dense = tiny("llama", num_hidden_layers=1)
    pruned = damaged(dense)
    sublayers = take_apart(dense, pruned)
    assert any("one layer" in note for note in sublayers.notes)
    assert len(measure_layers(CachedModel(dense), CachedModel(pruned), CONTEXT, sublayers).rows) == 2


def test_a_step_that_is_not_there() -> None:
    dense = tiny("llama")
    with lockstep(dense, dense, steps=3) as both:
        with pytest.raises(BadInput, match="the run has no steps"):
            both.shared_context(1)
        list(both)
        assert both.shared_context(1) == both.prompt_ids
        for step in (0, 4):
            with pytest.raises(BadInput, match="steps 1 to 3"):
                both.shared_context(step)


def test_stepping_goes_on_while_a_token_is_explained() -> None:
    dense, pruned, sublayers = two("llama")
    with lockstep(dense, pruned, steps=4) as both:
        expected = list(both)
    with lockstep(dense, pruned, steps=4) as both:
        for record in expected:
            assert both.step() == record
            measure_layers(*both.models, both.shared_context(record.step), sublayers)
