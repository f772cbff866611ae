"""Culprits arrive as they are found: estimates first, then exact swaps, the likeliest culprit first."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.culprits import measure_swaps, swaps_as_found
from probes.explain.estimate import estimate_heals
from probes.explain.sublayers import take_apart
from probes.schema.errors import Failure
from probes.schema.part import Part
from probes.system.progress import Work
from tests.support.explaining import CONTEXT, two
from tests.support.stepping import damaged
from tests.support.tiny import tiny


def test_estimates_come_first_and_each_value_makes_one_more_exact() -> None:
    _, _, sublayers = two("llama")

    def estimate(reference: Tensor) -> dict[Part, float]:
        return dict(estimate_heals(sublayers, CONTEXT, reference=reference).heals)

    found = list(swaps_as_found(sublayers, CONTEXT, estimate=estimate))
    assert [sum(one.exact for one in swaps.heal) for swaps in found] == list(range(7))
    assert [len(swaps.damage) for swaps in found] == list(range(7))
    assert not any(swaps.additivity for swaps in found[:-1])
    for swaps in found:
        assert len(swaps.heal) == 6
        assert list(swaps.heal) == sorted(swaps.heal, key=lambda one: one.kl_after)
        assert swaps.kl == found[-1].kl
    first = max(found[0].heal, key=lambda one: one.kl_drop)
    assert first.estimate == first.kl_drop
    (exact,) = [one for one in found[1].heal if one.exact]
    assert (exact.layer, exact.sublayer) == (first.layer, first.sublayer)
    plain = measure_swaps(sublayers, CONTEXT)
    assert {(one.layer, one.sublayer): one.kl_after for one in found[-1].heal} == {
        (one.layer, one.sublayer): one.kl_after for one in plain.heal
    }


def test_the_estimate_is_the_same_with_known_dense_logits() -> None:
    _, _, sublayers = two("gemma2")
    given: list[Tensor] = []

    def estimate(reference: Tensor) -> dict[Part, float]:
        given.append(reference)
        return {}

    next(swaps_as_found(sublayers, CONTEXT, 3, estimate=estimate))
    assert estimate_heals(sublayers, CONTEXT, 3, reference=given[0]) == estimate_heals(sublayers, CONTEXT, 3)


@pytest.mark.parametrize(("part", "path"), [("attn", "self_attn.o_proj"), ("mlp", "mlp.up_proj")])
def test_a_nan_names_its_module_and_is_healed_first(part: str, path: str) -> None:
    dense = tiny("llama")
    pruned = damaged(dense, 0.01)
    with torch.no_grad():
        pruned.get_submodule(f"model.layers.1.{path}").get_parameter("weight").fill_(math.nan)
    work = Work()
    found = list(swaps_as_found(take_apart(dense, pruned), CONTEXT, work=work))
    assert f"first in model.layers.1.{path}" in work.notes[0]
    assert f"{part} 1 is healed first" in work.notes[0]
    first = found[0].heal[0]
    assert (first.layer, first.sublayer) == (1, part)
    assert math.isnan(found[0].kl)
    assert math.isfinite(first.kl_after)
    assert found[-1].heal[0] == first
    assert all(math.isnan(one.kl_after) for one in found[-1].heal[1:])
    assert math.isnan(found[-1].damage[0].kl_after)
    assert all(math.isfinite(one.kl_after) for one in found[-1].damage[1:])


def test_a_nan_after_the_last_block_is_no_sublayer_s() -> None:
    dense = tiny("llama")
    pruned = damaged(dense, 0.01)
    with torch.no_grad():
        pruned.get_submodule("model.norm").get_parameter("weight").fill_(math.nan)
    work = Work()
    *_, found = swaps_as_found(take_apart(dense, pruned), CONTEXT, work=work)
    assert work.notes[0].endswith("first in model.norm.")
    assert all(math.isnan(one.kl_after) for one in found.heal)


def test_a_dense_model_that_is_not_finite_is_refused() -> None:
    dense = tiny("llama")
    pruned = damaged(dense)
    sublayers = take_apart(pruned, dense)
    with torch.no_grad():
        pruned.get_submodule("model.layers.0.mlp.up_proj").get_parameter("weight").fill_(math.nan)
    with pytest.raises(Failure, match="dense model computes NaN"):
        measure_swaps(sublayers, CONTEXT)


def _adding(added: list[float]) -> PreTrainedModel:
    """A GPT-2 of three layers over two tokens in which the MLP of layer l adds `added[l]` to the logit of token 1, and
    nothing else adds to a logit: all matrices are 0, the biases of the MLPs are not, and there is no final norm."""
    model = tiny("gpt2", vocab_size=2, hidden_size=4, num_attention_heads=1, tie_word_embeddings=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".c_" in name or "lm_head" in name:
                parameter.zero_()
        for name in ("wte", "wpe"):
            model.get_submodule(f"transformer.{name}").get_parameter("weight")[:, 1] = 0
        for layer, value in enumerate(added):
            model.get_submodule(f"transformer.h.{layer}.mlp.c_proj").get_parameter("bias")[1] = value
        model.get_submodule("lm_head").get_parameter("weight")[1, 1] = 1
    setattr(model.get_submodule("transformer"), "ln_f", nn.Identity())  # noqa: B010 - transformers types it otherwise
    return model


def test_three_layers_with_a_known_answer() -> None:
    dense, pruned = _adding([0.5, 1.0, -0.25]), _adding([0.5, 3.0, 0.75])
    found = measure_swaps(take_apart(dense, pruned), [1, 1, 1])

    def kl(other: float, reference: float = 1.25) -> float:
        """Of two tokens, one with logit 0."""
        p, q = (1 / (1 + math.exp(-logit)) for logit in (reference, other))
        return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))

    assert found.kl == pytest.approx(kl(4.25), rel=1e-5)
    heals = {(one.layer, one.sublayer): one.kl_after for one in found.heal}
    assert heals[1, "mlp"] == pytest.approx(kl(2.25), rel=1e-5)
    assert heals[2, "mlp"] == pytest.approx(kl(3.25), rel=1e-5)
    damage = {(one.layer, one.sublayer): one.kl_after for one in found.damage}
    assert damage[1, "mlp"] == pytest.approx(kl(3.25), rel=1e-5)
    assert damage[2, "mlp"] == pytest.approx(kl(2.25), rel=1e-5)
    for layer, kind in [(0, "attn"), (0, "mlp"), (1, "attn"), (2, "attn")]:
        assert heals[layer, kind] == found.kl
        assert damage[layer, kind] == 0
    assert [(one.layer, one.sublayer) for one in found.heal[:2]] == [(1, "mlp"), (2, "mlp")]
    assert found.additivity == pytest.approx((2 * kl(4.25) - kl(2.25) - kl(3.25)) / kl(4.25), rel=1e-5)
    assert found.kl_all_healed == 0
