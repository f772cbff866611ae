"""Hooks see what modules get and return, end or change a pass, and are gone afterwards, however their block ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.models.hooks import (
    Call,
    Stop,
    changing_output,
    entering,
    first_of,
    leaving,
    replacing_forward,
    stopping_at,
    until_stop,
)
from probes.schema.errors import Failure
from probes.twin.anatomy import dissect
from tests.support.tiny import tiny

ARCHITECTURES = ["llama", "gemma2", "olmo2", "gpt2", "opt", "bloom", "falcon", "mixtral", "mamba"]
IDS = torch.arange(5, 17).unsqueeze(0)


def answer(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits


def hooked(model: nn.Module) -> list[str]:
    return [
        name
        for name, module in model.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__
    ]


def blocks(model: PreTrainedModel) -> list[str]:
    return [block.name for block in dissect(model).blocks]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_enters_and_leaves_every_block_is_seen_in_order_and_nothing_changes(architecture: str) -> None:
    model, seen = tiny(architecture), list[tuple[str, str, Tensor]]()
    plain = answer(model)
    with (
        entering(model, blocks(model), lambda path, call: seen.append(("in", path, call.hidden.clone()))),
        leaving(model, blocks(model), lambda path, _call, out: seen.append(("out", path, first_of(out).clone()))),
    ):
        assert torch.equal(answer(model), plain)
    assert [(way, path) for way, path, _ in seen] == [(way, path) for path in blocks(model) for way in ("in", "out")]
    for (_, _, left), (_, _, entered) in zip(seen[1::2], seen[2::2], strict=False):
        assert torch.equal(left, entered)
    assert not hooked(model)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_pass_ends_where_it_is_stopped(architecture: str) -> None:
    model, ran = tiny(architecture), list[str]()
    first, second, third = blocks(model)
    watching = entering(model, [first, second, third], lambda path, _call: ran.append(path), idle=True)
    with watching, stopping_at(model, second):
        answer(model)
        pytest.fail("the pass went on")
    assert ran == [first, second]
    assert not hooked(model)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "falcon"])
def test_an_output_is_changed_while_the_block_lasts_alone(architecture: str) -> None:
    model = tiny(architecture)
    plain, matrix = answer(model), dissect(model).matrices[0].name
    with changing_output(model, matrix, lambda output: torch.zeros_like(first_of(output))):
        changed = answer(model)
    assert not torch.equal(changed, plain)
    assert torch.equal(answer(model), plain)
    assert not hooked(model)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_replaced_forward_method_gets_the_whole_call_and_can_pass_on_another_hidden_state(architecture: str) -> None:
    model = tiny(architecture)
    plain, path = answer(model), blocks(model)[1]

    def doubled(forward: Callable[..., object]) -> Callable[..., object]:
        def replacement(*args: object, **kwargs: object) -> object:
            call = Call(args, kwargs)
            return call.with_hidden(forward, call.hidden * 2)

        return replacement

    def twice(_module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> tuple[Any, Any]:
        if args:
            return (args[0] * 2, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": kwargs["hidden_states"] * 2}

    with replacing_forward(model, {path: doubled}):
        changed = answer(model)
    handle = model.get_submodule(path).register_forward_pre_hook(twice, with_kwargs=True)
    assert torch.equal(changed, answer(model))
    handle.remove()
    assert torch.equal(answer(model), plain)
    assert not hooked(model)


def test_the_rest_of_a_call_is_all_but_the_hidden_state() -> None:
    hidden = torch.zeros(1)
    assert Call((hidden, 1), {"mask": 2}).rest == ((1,), {"mask": 2})
    assert Call((), {"hidden_states": hidden, "mask": 2}).rest == ((), {"mask": 2})
    assert Call((), {"hidden_states": hidden}).hidden is hidden


def never(model: PreTrainedModel, path: str) -> Sequence[AbstractContextManager[None]]:
    return (
        entering(model, [path], lambda _path, _call: None),
        leaving(model, [path], lambda _path, _call, _out: None),
        changing_output(model, path, lambda output: output),
    )


@pytest.mark.parametrize("which", range(3))
def test_a_hook_that_never_fired_is_an_error(which: int) -> None:
    model = tiny("llama")
    path = blocks(model)[2]
    model.config.num_hidden_layers = 2  # the third block never runs
    with pytest.raises(Failure, match=f"{path} of LlamaForCausalLM never ran"), never(model, path)[which]:
        answer(model)
    assert not hooked(model)


def test_one_that_may_stay_idle_is_none() -> None:
    model, seen = tiny("llama"), list[str]()
    model.config.num_hidden_layers = 2
    with entering(model, blocks(model), lambda path, _call: seen.append(path), idle=True):
        answer(model)
    assert seen == blocks(model)[:2]


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt, Stop])
def test_hooks_are_removed_after_whatever_was_raised_in_one_and_that_is_not_hidden(
    problem: type[BaseException],
) -> None:
    model = tiny("gpt2")

    def fail(*_: object, **__: object) -> None:
        raise problem

    path = blocks(model)[1]
    raised: list[type[BaseException]] = []
    for kit in (
        entering(model, [path], fail),
        leaving(model, [path], fail),
        changing_output(model, path, fail),
        replacing_forward(model, {path: lambda _forward: fail}),
    ):
        try:
            with kit, leaving(model, blocks(model), lambda *_: None):
                answer(model)
        except problem:
            raised.append(problem)
    assert raised == [problem] * 4
    assert not hooked(model)
    assert answer(model).isfinite().all()


def test_a_stop_ends_its_own_block_and_is_no_error() -> None:
    reached: list[int] = []
    with suppress(Exception), until_stop():
        with until_stop():
            raise Stop
        reached.append(1)
        raise Stop
    assert reached == [1]
    assert not issubclass(Stop, Exception)
