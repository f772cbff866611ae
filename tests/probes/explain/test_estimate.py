"""The estimate is the derivative of the KL: it equals a finite difference in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from probes.explain import estimate as module
from probes.explain.culprits import measure_swaps, rank_correlation, swaps_as_found
from probes.explain.estimate import estimate_heals
from probes.explain.sublayers import Sublayers, take_apart
from probes.schema.errors import Cancelled
from probes.schema.part import Part
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.explaining import _BLOCKS, _NORMS, CONTEXT, EXPLAINED, exchanged, kl, two
from tests.support.stepping import damaged
from tests.support.tiny import moved, tiny

SPAN, SMALL = 3, 1e-2
"""Some norms compute in float32 whatever they are given, so a smaller difference would be their rounding."""


def nudged_kl(architecture: str, sublayers: Sublayers, part: Part, size: float) -> float:
    """The mean KL over the span if a sublayer adds a little of what the dense one would add on the same input."""
    dense, pruned = sublayers.dense.model, copy.deepcopy(sublayers.pruned.model)
    own = dict(exchanged(architecture, pruned, dense, part).named_modules())
    path = f"{_BLOCKS.get(architecture, 'model.layers')}.{part.layer}"
    names = _NORMS[architecture][part.kind == "mlp"]
    main = next(name for name in names if "norm" not in name and "ln" not in name)
    before = next((name for name in names[: names.index(main)]), None)
    after = next((name for name in names[names.index(main) + 1 :]), None)
    inputs: list[Tensor] = []

    def entering(_module: object, args: tuple[Tensor, ...]) -> None:
        inputs[:] = [args[0]]

    def leaving(_module: object, args: tuple[object, ...], kwargs: dict[str, object], output: object) -> object:
        value = output[0] if isinstance(output, tuple) else output
        there = own[f"{path}.{main}"]
        read = {**kwargs}
        rest = args
        if before is not None:
            x = own[f"{path}.{before}"](inputs[0])
            rest = (x, *args[1:]) if args else ()
            read = read if args else {**read, "hidden_states": x}
        made = torch.nn.Module.__call__(there, *rest, **read)
        wanted: Tensor = made[0] if isinstance(made, tuple) else made
        state.append(wanted)
        if after is not None:
            return None
        changed = value + size * (wanted - value)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    def normed(module_: torch.nn.Module, _args: object, output: Tensor) -> Tensor:
        return output + size * (own[f"{path}.{after}"](state[-1]) - output)

    state: list[Tensor] = []
    if before is not None:
        pruned.get_submodule(f"{path}.{before}").register_forward_pre_hook(entering)
    pruned.get_submodule(f"{path}.{main}").register_forward_hook(leaving, with_kwargs=True)
    if after is not None:
        pruned.get_submodule(f"{path}.{after}").register_forward_hook(normed)
    ids = torch.tensor([CONTEXT])
    with torch.no_grad():
        rows = [model(input_ids=ids, use_cache=False).logits[0, -SPAN:] for model in (dense, pruned)]
    return sum(kl(*row) for row in zip(*rows, strict=True)) / SPAN


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_it_is_the_slope_of_the_kl(architecture: str) -> None:
    dense, pruned, _ = two(architecture)
    if architecture == "falcon":  # its sublayers share a norm, which is then taken to be the same in both models
        pruned = damaged(dense)
    dense, pruned = (moved(copy.deepcopy(model), torch.float64) for model in (dense, pruned))
    for model in (dense, pruned):
        model.set_experts_implementation("eager")  # the grouped one has no float64
    sublayers = take_apart(dense, pruned)
    found = estimate_heals(sublayers, CONTEXT, SPAN)
    assert not found.note
    for part in sublayers.parts:
        kls = {size: nudged_kl(architecture, sublayers, part, size * SMALL) for size in (-2, -1, 1, 2)}
        slope = (8 * (kls[1] - kls[-1]) - (kls[2] - kls[-2])) / (12 * SMALL)
        assert found.heals[part] == pytest.approx(-slope, rel=1e-3, abs=1e-6)


def test_light_damage_is_estimated_as_it_is_healed() -> None:
    dense = tiny("llama")
    sublayers = take_apart(dense, damaged(dense, 0.02))
    estimate = estimate_heals(sublayers, CONTEXT)
    *_, swaps = swaps_as_found(sublayers, CONTEXT, estimate=lambda _dense: estimate.heals)
    assert swaps.rank_correlation is not None
    assert swaps.rank_correlation > 0.9
    assert all(one.estimate is not None for one in swaps.heal)
    assert all(one.estimate is None for one in swaps.damage)


@pytest.mark.parametrize("part", [Part("attn", 1), Part("block", 1)], ids=str)
def test_only_what_is_dropped_has_an_estimate(part: Part) -> None:
    dense = tiny("gemma2")
    twin = Twin(dense)
    twin.drop(part)
    found = estimate_heals(take_apart(dense, twin.model), CONTEXT)
    assert {one for one, heal in found.heals.items() if heal != 0} == set(part.sublayers)


def test_an_exact_copy_is_estimated_at_0() -> None:
    dense = tiny("mixtral")
    assert set(estimate_heals(take_apart(dense, copy.deepcopy(dense)), CONTEXT).heals.values()) == {0}


def test_the_models_need_no_gradient_afterwards() -> None:
    dense, pruned, sublayers = two("llama")
    estimate_heals(sublayers, CONTEXT)
    for model in (dense, pruned):
        assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.parameters())


def test_others_have_a_turn_before_every_block_and_on_the_way_back() -> None:
    _, _, sublayers = two("llama")
    turns: list[int] = []

    def between() -> None:
        assert not torch.is_inference_mode_enabled()
        turns.append(len(turns))

    found = estimate_heals(sublayers, CONTEXT, between=between)
    assert len(turns) == 2 * 3
    assert found == estimate_heals(sublayers, CONTEXT)
    for stop in range(6):

        def cancelled(left: list[int] = [*range(stop)]) -> bool:  # noqa: B006 - one list for each function
            return not left or left.pop() < 0

        work = Work(cancelled=cancelled)
        with pytest.raises(Cancelled):
            estimate_heals(sublayers, CONTEXT, between=lambda work=work: work.check("x"))


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (torch.OutOfMemoryError("nothing left"), "memory ran out"),
        (NotImplementedError("packed"), "backward pass failed"),
    ],
    ids=["memory", "quantised"],
)
def test_without_a_backward_pass_there_is_a_note(
    monkeypatch: pytest.MonkeyPatch, problem: RuntimeError, words: str
) -> None:
    _, _, sublayers = two("llama")

    def fails(*_: object) -> None:
        raise problem

    monkeypatch.setattr(module, "_heals", fails)
    found = estimate_heals(sublayers, CONTEXT)
    assert words in found.note
    *_, swaps = swaps_as_found(sublayers, CONTEXT, estimate=lambda _dense: found.heals)
    assert swaps == measure_swaps(sublayers, CONTEXT)


def test_the_correlation_of_ranks() -> None:
    assert rank_correlation([(1, 10), (2, 30), (3, 20)]) == pytest.approx(0.5)
    assert rank_correlation([(1, 1), (2, 4), (9, 5)]) == pytest.approx(1)
    assert rank_correlation([(1, 3), (1, 3), (2, 1), (0, 4)]) == pytest.approx(-1)
    assert rank_correlation([(1, 2), (1, 3)]) is None
    assert rank_correlation([]) is None
