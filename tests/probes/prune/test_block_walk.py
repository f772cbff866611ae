"""A walk block by block shows what whole forward passes show, wherever inputs wait, and leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.prune import block_walk as blocks
from probes.prune.activations import Hessians, Norms
from probes.prune.block_walk import RunBlock, stream, walk_blocks, watched
from probes.schema.errors import BadInput, Cancelled
from probes.schema.events import WorkProgressed
from probes.system.progress import Work
from probes.twin.anatomy import Block, dissect, weight
from tests.support.tiny import ARCHITECTURES, MORE, VOCABULARY, moved, tiny

ALL = [name for name in (*ARCHITECTURES, *MORE) if name != "mamba"]
IDS = torch.randint(0, VOCABULARY, (6, 20), generator=torch.Generator().manual_seed(0))
"""Longer than the tiny models' sliding window."""
Seen = dict[str, Tensor]
"""By matrix, all that entered it, (tokens, inputs)."""


@pytest.fixture(autouse=True)
def _two_samples_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BATCH_TOKENS", 40)


def halve(model: PreTrainedModel, block: Block) -> None:
    """Prunes every other weight of a block."""
    for matrix in block.matrices:
        weight(model, matrix)[:, ::2] = 0


def walked(model: PreTrainedModel, last: int = 2, ids: Tensor = IDS, visit: blocks.Visit | None = None) -> Seen:
    """What each block's matrices saw before the block was pruned."""
    seen: dict[str, list[Tensor]] = {}

    def look(block: Block, run: RunBlock) -> None:
        run([m.name for m in block.matrices], lambda name, x: seen.setdefault(name, []).append(x.clone()))
        halve(model, block)

    walk_blocks(model, dissect(model), ids, visit or look, last=last, work=Work(), task="Walking")
    return {name: torch.cat(found) for name, found in seen.items()}


def walked_slowly(model: PreTrainedModel) -> Seen:
    """The same by whole forward passes, a sample at a time, once again for every block."""
    seen: dict[str, list[Tensor]] = {}
    for block in dissect(model).blocks:
        here: dict[str, list[Tensor]] = {matrix.name: [] for matrix in block.matrices}
        handles = [
            model.get_submodule(name).register_forward_pre_hook(
                lambda _module, args, into=into: into.append(args[0].flatten(0, -2).clone())
            )
            for name, into in here.items()
        ]
        with torch.no_grad():
            for sample in IDS:
                model(input_ids=sample.unsqueeze(0), use_cache=False)
        for handle in handles:
            handle.remove()
        halve(model, block)
        seen |= here
    return {name: torch.cat(found) for name, found in seen.items()}


def traces(model: nn.Module) -> list[str]:
    """Modules that something is still hooked to."""
    return [
        name
        for name, module in model.named_modules()
        if "forward" in module.__dict__ or module._forward_pre_hooks or module._forward_hooks
    ]


# What is seen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ALL)
def test_each_block_sees_what_the_blocks_before_it_have_become(architecture: str) -> None:
    model = tiny(architecture)
    slow = walked_slowly(copy.deepcopy(model))
    fast = walked(model)
    assert fast.keys() == slow.keys() == {matrix.name for matrix in dissect(model).matrices}
    for name, inputs in slow.items():
        torch.testing.assert_close(fast[name], inputs, rtol=1e-4, atol=1e-5, msg=lambda said, n=name: f"{n}: {said}")


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "mixtral"])
def test_inputs_that_wait_in_a_file_are_the_same_to_the_bit(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        found = []
        for share in (1e9, 0):
            monkeypatch.setattr(blocks, "IN_MEMORY", share)
            found.append(walked(moved(tiny(architecture), dtype)))
        in_memory, in_file = found
        assert in_memory.keys() == in_file.keys()
        assert all(torch.equal(in_memory[name], in_file[name]) for name in in_memory)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mixtral"])
@pytest.mark.parametrize("kind", [Norms, Hessians])
def test_several_batches_sum_to_what_one_does(
    architecture: str, kind: type[Norms | Hessians], monkeypatch: pytest.MonkeyPatch
) -> None:
    def summed(tokens: int) -> tuple[dict[str, Tensor], dict[str, int]]:
        monkeypatch.setattr(blocks, "BATCH_TOKENS", tokens)
        sums, model = kind(), tiny(architecture)

        def visit(block: Block, run: RunBlock) -> None:
            run([matrix.name for matrix in block.matrices], sums.see)
            halve(model, block)

        walked(model, visit=visit)
        names = [matrix.name for matrix in dissect(model).matrices]
        return {name: sums.total(name) for name in names}, {name: sums.tokens(name) for name in names}

    (one, tokens), *others = (summed(tokens) for tokens in (IDS.numel(), 60, 1))
    assert set(tokens.values()) == {IDS.numel()}
    for several, counted in others:
        assert counted == tokens
        for name in one:
            torch.testing.assert_close(several[name], one[name], rtol=1e-3, atol=1e-3, check_dtype=False)


def test_a_block_can_be_run_as_often_as_it_is_asked_and_for_some_matrices_only() -> None:
    model = tiny("llama")
    expected = walked(copy.deepcopy(model))
    found: dict[str, list[Tensor]] = {}

    def visit(block: Block, run: RunBlock) -> None:
        names = [matrix.name for matrix in block.matrices]
        for some in (names, names, names[:1], names[-1:], names[2:4]):
            seen: dict[str, list[Tensor]] = {}
            run(some, lambda name, x, into=seen: into.setdefault(name, []).append(x.clone()))
            assert list(seen) == list(some)
            for name, inputs in seen.items():
                found.setdefault(name, []).append(torch.cat(inputs))
        halve(model, block)

    walked(model, visit=visit)
    for name, several in found.items():
        assert len(several) >= 2
        assert all(torch.equal(inputs, expected[name]) for inputs in several)


def test_blocks_are_visited_in_order_up_to_the_last_that_is_wanted() -> None:
    model, visited, ran = tiny("llama"), [], []
    for block in dissect(model).blocks:
        layer = model.get_submodule(block.name)
        layer.register_forward_pre_hook(lambda _module, _args, number=block.layer: ran.append(number))
    walked(model, last=1, visit=lambda block, run: visited.append(block.layer))
    assert visited == [0, 1]
    assert 2 not in ran


def test_progress_rises_to_the_end_and_a_walk_can_be_cancelled() -> None:
    model, told = tiny("llama"), []

    def visit(block: Block, run: RunBlock) -> None:
        run([matrix.name for matrix in block.matrices], lambda name, x: None)

    def go(cancelled: Callable[[], bool] | None = None) -> None:
        walk_blocks(model, dissect(model), IDS, visit, last=2, work=Work(told.append, cancelled), task="Walking")

    go()
    done = [event.done for event in told]
    assert all(isinstance(event, WorkProgressed) and event.total == 3 for event in told)
    assert done == sorted(done)
    assert done[-1] == 3
    asked = iter(range(100))
    with pytest.raises(Cancelled, match="Walking"):
        go(lambda: next(asked) > 4)
    assert not traces(model)


@pytest.mark.parametrize("architecture", ALL)
def test_a_stream_shows_every_token_to_every_matrix_of_the_model_as_it_is(architecture: str) -> None:
    model = tiny(architecture)
    names = [matrix.name for matrix in dissect(model).matrices]
    found: list[Seen] = []
    for whole in (False, True):
        seen: dict[str, list[Tensor]] = {}
        with watched(model, names, lambda name, x, into=seen: into.setdefault(name, []).append(x.clone())):
            if whole:
                with torch.no_grad():
                    model(input_ids=IDS, use_cache=False)
            else:
                stream(model, IDS, work=Work(), task="Streaming")
        found.append({name: torch.cat(inputs) for name, inputs in seen.items()})
    for name in names:
        assert len(found[0][name]) == IDS.numel()
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-5)
    assert not traces(model)


# What is refused, and left behind -------------------------------------------------------------------------------


def altered(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> object:
    """Something that the model does to the hidden state between two blocks."""
    return (args[0] + 1, *args[1:]), kwargs


def told_of_text(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> object:
    """An argument of a block that depends on what was read."""
    return args, {**kwargs, "position_embeddings": tuple(x * args[0].mean() for x in kwargs["position_embeddings"])}


@pytest.mark.parametrize(
    ("layer", "hook"), [(1, altered), (2, altered), (0, told_of_text), (1, told_of_text), (2, told_of_text)]
)
def test_a_model_whose_blocks_depend_on_more_than_the_one_before_is_refused(layer: int, hook: Callable) -> None:
    model = tiny("llama")
    handle = model.model.layers[layer].register_forward_pre_hook(hook, with_kwargs=True)
    with pytest.raises(BadInput, match=r"LlamaForCausalLM gets more .*wanda-onepass"):
        walked(model)
    handle.remove()
    assert not traces(model)


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, None])
def test_everything_hooked_is_put_back_also_after_an_error(fault: type[BaseException] | None) -> None:
    model = tiny("gpt2")
    own = model.transformer.h[1].forward
    model.transformer.h[1].__dict__["forward"] = own  # as accelerate leaves it

    def visit(block: Block, run: RunBlock) -> None:
        def see(name: str, inputs: Tensor) -> None:
            if fault is not None and block.layer == 1:
                raise fault("stop")

        run([matrix.name for matrix in block.matrices], see)

    with suppress(RuntimeError, KeyboardInterrupt):
        walked(model, visit=visit)
    assert model.transformer.h[1].__dict__["forward"] is own
    assert traces(model) == ["transformer.h.1"]


def test_a_walk_that_prunes_nothing_changes_nothing() -> None:
    model = tiny("gemma3")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    walked(model, visit=lambda block, run: run([m.name for m in block.matrices], lambda name, x: None))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# What is held ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [2, 6, 60])
def test_however_many_samples_there_are_no_more_is_held_than_the_budget(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    class Watched(blocks._Store):
        def save(self, batch: int, hidden: Tensor) -> None:
            super().save(batch, hidden)
            held.append(sum(tensor.numel() * tensor.element_size() for tensor in self._held.values()))

    model = tiny("llama")
    budget = 0.1 * sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    monkeypatch.setattr(blocks, "_Store", Watched)
    monkeypatch.setattr(blocks, "IN_MEMORY", 0.1)
    walked(model, ids=IDS.repeat(10, 1)[:samples])
    needed = samples * IDS.shape[1] * 32 * 4
    assert len(held) == samples // 2 * 3
    assert max(held) == (needed if needed <= budget else 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("budget", [0.0, 1e6])
def test_what_waits_comes_back_to_the_bit_in_a_tensor_of_its_own(dtype: torch.dtype, budget: float) -> None:
    waiting: Sequence[Tensor] = [torch.randn(2, 5, 8).to(dtype).mT for _ in range(3)]
    with blocks._Store(3, budget) as store:
        for turn in range(2):
            for batch in (2, 0, 1):
                store.save(batch, waiting[batch] + turn)
            store.load(1).zero_()
            for batch in range(3):
                assert torch.equal(store.load(batch), waiting[batch] + turn)
