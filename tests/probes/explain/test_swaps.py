"""Exchanged sublayers give the logits of copied models with exchanged modules, bit for bit."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from transformers import PreTrainedModel

from probes.explain.culprits import measure_swaps
from probes.explain.sublayers import take_apart
from probes.explain.swaps import Exchanges
from probes.schema.errors import Cancelled
from probes.schema.part import Part
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT, EXPLAINED, exchanged, kl, plain, two
from tests.support.tiny import tiny

SPAN = 4


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_every_exchange_is_that_of_a_copied_model_bit_for_bit(architecture: str) -> None:
    dense, pruned, sublayers = two(architecture)
    healing = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, len(CONTEXT))
    harming = Exchanges(sublayers, sublayers.dense, sublayers.pruned, CONTEXT, len(CONTEXT))
    assert torch.equal(healing.logits, plain(pruned))
    assert torch.equal(harming.logits, plain(dense))
    for part in sublayers.parts:
        assert torch.equal(healing.exchanged(part), plain(exchanged(architecture, pruned, dense, part)))
        assert torch.equal(harming.exchanged(part), plain(exchanged(architecture, dense, pruned, part)))
    several = (Part("mlp", 0), Part("attn", 2))
    assert torch.equal(healing.exchanged(*several), plain(exchanged(architecture, pruned, dense, *several)))


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_all_healed_is_the_dense_model_and_none_the_pruned_one_bit_for_bit(architecture: str) -> None:
    dense, pruned, sublayers = two(architecture, blocks_only=True)
    for base, other, model, there in (
        (sublayers.pruned, sublayers.dense, pruned, dense),
        (sublayers.dense, sublayers.pruned, dense, pruned),
    ):
        exchanges = Exchanges(sublayers, base, other, CONTEXT, len(CONTEXT))
        for layer in range(3):
            assert torch.equal(exchanges.exchanged(beginning=layer), plain(model))
        assert torch.equal(exchanges.exchanged(*sublayers.parts), plain(there))


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_the_figures_are_kl_of_the_exchanged_models(architecture: str) -> None:
    dense, pruned, sublayers = two(architecture, blocks_only=True)
    found = measure_swaps(sublayers, CONTEXT, SPAN)

    def mean(model: PreTrainedModel) -> float:
        rows = zip(plain(dense)[-SPAN:], plain(model)[-SPAN:], strict=True)
        return math.fsum(kl(*row) for row in rows) / SPAN

    assert found.kl == pytest.approx(mean(pruned), rel=1e-5)
    assert found.control == found.kl_all_healed == 0
    assert found.additivity == pytest.approx(math.fsum(one.kl_drop for one in found.heal) / found.kl)
    for one in found.heal:
        model = exchanged(architecture, pruned, dense, Part(one.sublayer, one.layer))
        assert one.kl_before == found.kl
        assert one.kl_after == pytest.approx(mean(model), rel=1e-4)
        assert one.kl_drop == one.kl_before - one.kl_after
        same = torch.equal(plain(model)[-SPAN:].argmax(-1), plain(dense)[-SPAN:].argmax(-1))
        assert one.top_token_returns == same
    for one in found.damage:
        model = exchanged(architecture, dense, pruned, Part(one.sublayer, one.layer))
        assert (one.kl_before, one.kl_drop) == (0, -one.kl_after)
        assert one.kl_after == pytest.approx(mean(model), rel=1e-4)
    assert list(found.heal) == sorted(found.heal, key=lambda one: -one.kl_drop)
    assert list(found.damage) == sorted(found.damage, key=lambda one: -one.kl_after)
    assert len(found.heal) == len(found.damage) == 6


def test_a_single_culprit_is_healed_whole_and_nothing_else_matters() -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    name = "model.layers.1.self_attn.v_proj"
    twin.mask(name, torch.zeros_like(twin.dense_weight(name), dtype=torch.bool))
    found = measure_swaps(take_apart(dense, twin.model), CONTEXT)
    first = found.heal[0]
    assert (first.layer, first.sublayer) == (1, "attn")
    assert (first.kl_after, first.kl_drop, first.top_token_returns) == (0, found.kl, True)
    assert all(one.kl_drop == 0 for one in found.heal[1:])
    assert found.damage[0].kl_after == found.kl
    assert all(one.kl_after == 0 for one in found.damage[1:])
    assert found.additivity == 1


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "olmo2", "gpt_neox"])
@pytest.mark.parametrize("part", [Part("attn", 1), Part("mlp", 1), Part("block", 1)], ids=str)
def test_dropped_sublayers_and_blocks_are_healed(architecture: str, part: Part) -> None:
    dense = tiny(architecture)
    twin = Twin(dense)
    twin.drop(part)
    before = plain(twin.model)
    sublayers = take_apart(dense, twin.model)
    exchanges = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, len(CONTEXT))
    assert torch.equal(exchanges.logits, before)
    assert torch.equal(exchanges.exchanged(*part.sublayers), plain(dense))
    harming = Exchanges(sublayers, sublayers.dense, sublayers.pruned, CONTEXT, len(CONTEXT))
    assert torch.equal(harming.exchanged(*part.sublayers), before)
    for one in part.sublayers:
        twin.restore()
        if rest := set(part.sublayers) - {one}:
            twin.drop(*rest)
        assert torch.equal(exchanges.exchanged(one), plain(twin.model))


def test_an_exact_copy_has_nothing_to_heal() -> None:
    dense = tiny("qwen3")
    found = measure_swaps(take_apart(dense, copy.deepcopy(dense)), CONTEXT, SPAN)
    assert found.kl == 0
    assert found.additivity is None
    assert {one.kl_after for one in (*found.heal, *found.damage)} == {0}


def test_nothing_is_left_in_the_models() -> None:
    dense, pruned, sublayers = two("llama")
    modules = [dict(model.named_modules()) for model in (dense, pruned)]
    hooks = [sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in found.values()) for found in modules]
    measure_swaps(sublayers, CONTEXT)
    assert [dict(model.named_modules()) for model in (dense, pruned)] == modules
    assert hooks == [0, 0]
    assert hooks == [sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in f.values()) for f in modules]


def test_it_can_be_stopped_and_says_how_far_it_is() -> None:
    _, _, sublayers = two("llama")
    heard: list[float | None] = []

    def progress(event: object) -> None:
        heard.append(getattr(event, "done", None))

    measure_swaps(sublayers, CONTEXT, work=Work(progress))
    assert heard == list(range(12))
    with pytest.raises(Cancelled):
        measure_swaps(sublayers, CONTEXT, work=Work(cancelled=lambda: True))
