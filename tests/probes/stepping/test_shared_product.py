"""A large product that two threads share: the same bits, and nobody waits for a thread that is busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import OverlapMode
from probes.stepping import shared_product
from probes.stepping.lockstep import Lockstep
from probes.stepping.overlap import choose_overlap
from probes.stepping.shared_product import SharedProduct
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import tiny

aten = torch.ops.aten


@pytest.fixture
def helper() -> Iterator[ThreadPoolExecutor]:
    """A thread that computes with as many threads as this one: one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(1, initializer=lambda: torch.set_num_threads(1)) as pool:
        yield pool
    torch.set_num_threads(threads)


def product(name: str) -> tuple[object, list[Tensor], Tensor]:
    """An operation, its arguments, and what it gives for them."""
    rows, matrix, bias = torch.randn(2, 256), torch.randn(8192, 256), torch.randn(8192)
    operation, args = {
        "linear": (aten.linear.default, [rows[:, None], matrix]),
        "linear with a bias": (aten.linear.default, [rows[:, None], matrix, bias]),
        "mm": (aten.mm.default, [rows, matrix.t()]),
        "addmm": (aten.addmm.default, [bias, rows, matrix.t().contiguous()]),
    }[name]
    return operation, args, operation(*args)


@pytest.mark.parametrize("name", ["linear", "linear with a bias", "mm", "addmm"])
@pytest.mark.parametrize("busy", [False, True])
@torch.inference_mode()
def test_all_bits_are_those_of_the_whole_product(name: str, busy: bool, helper: ThreadPoolExecutor) -> None:
    operation, args, output = product(name)
    shared = SharedProduct.of(operation, args, output, helper)
    assert shared is not None
    go_on = threading.Event()
    if busy:
        helper.submit(go_on.wait)
    for _ in range(3):
        args[-2 if name in ("mm", "addmm") else 0].normal_()
        output.fill_(torch.nan)
        shared()
        assert torch.equal(output, operation(*args))
    go_on.set()


@torch.inference_mode()
def test_the_helper_takes_its_part(helper: ThreadPoolExecutor) -> None:
    operation, args, output = product("mm")
    shared = SharedProduct.of(operation, args, output, helper)
    assert shared is not None
    computed = set[int]()
    both = threading.Barrier(2, timeout=10)

    def mm(*given: Tensor, out: Tensor) -> Tensor:
        if threading.get_ident() not in computed:
            computed.add(threading.get_ident())
            both.wait()  # neither begins before the other has come
        return torch.mm(*given, out=out)

    shared._function = mm
    shared()
    assert len(computed) == 2
    assert torch.equal(output, operation(*args))


@torch.inference_mode()
def test_what_is_small_or_no_product_or_has_other_bits_is_not_shared(
    helper: ThreadPoolExecutor,
) -> None:
    operation, args, output = product("linear")
    small = torch.randn(64, 256)
    assert SharedProduct.of(operation, [args[0], small], operation(args[0], small), helper) is None
    assert SharedProduct.of(aten.mul.Tensor, args, output, helper) is None
    assert SharedProduct.of(operation, args, output + 1e-3, helper) is None
    assert SharedProduct.of(operation, args, output, helper) is not None


@torch.inference_mode()
def test_an_error_of_the_helper_is_raised_and_the_next_product_is_right(helper: ThreadPoolExecutor) -> None:
    operation, args, output = product("mm")
    shared = SharedProduct.of(operation, args, output, helper)
    assert shared is not None
    here = threading.get_ident()
    came = threading.Event()

    def fails(*given: Tensor, out: Tensor) -> Tensor:
        if threading.get_ident() != here:
            came.set()
            raise MemoryError("no room")
        came.wait(10)
        return torch.mm(*given, out=out)

    shared._function = fails
    with pytest.raises(MemoryError, match="no room"):
        shared()
    shared._function = torch.mm
    output.fill_(torch.nan)
    shared()
    assert torch.equal(output, operation(*args))


@pytest.mark.parametrize("mode", [OverlapMode.THREADS, OverlapMode.PROCESS])
def test_in_free_the_pruned_models_products_are_shared_and_no_figure_changes(
    mode: OverlapMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_product, "LEAST", 1)
    monkeypatch.setattr(shared_product, "PIECE", 1)
    calls: list[int] = []
    call = SharedProduct.__call__
    monkeypatch.setattr(SharedProduct, "__call__", lambda shared: (calls.append(1), call(shared))[1])
    dense = tiny("llama")
    pruned = damaged(dense)
    found = []
    for way in (OverlapMode.NONE, mode):
        overlap = choose_overlap(dense, pruned, way)
        settings = RunSettings("prompt", follow=Follow.FREE, steps=10)
        with Lockstep(*overlap.models(dense, pruned), Words(), PROMPT, settings) as run:
            run.step(dense=9, pruned=4)
            found.append([run.step() for _ in range(9)])
        overlap.close()
        assert bool(calls) == (way is mode)
    assert found[0] == found[1]
