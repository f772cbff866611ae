"""Carries calibration activations through a model block by block, holding one block's inputs at a time.

The first few samples go through the model's own forward pass; each block on the way is met with exactly what the
model hands it (masks, rotary embeddings, attention type), and the other samples follow through that block with the
same. So nothing about any architecture has to be known, and a block can be changed between being watched and
being passed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import IO

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.schema.errors import BadInput
from probes.system.progress import Work
from probes.twin.anatomy import Anatomy, Block, input_device

BATCH_TOKENS = 1024
"""Tokens that go through a block at once, where a single sample is not longer."""
_GLANCE = 16
"""Tokens of two samples on which a model is tried out before a walk."""
IN_MEMORY = 0.03
"""Share of the model's own size that its blocks' inputs may take in memory; beyond it they wait in a file."""

See = Callable[[str, Tensor], None]
"""Gets a layer's name and what enters it, (tokens, inputs)."""
Run = Callable[[Sequence[str], See], None]
"""Sends all samples through the block, shows what enters the named layers, and forgets what comes out."""
Visit = Callable[[Block, Run], None]
Call = Callable[..., object]
_Arguments = tuple[tuple[object, ...], Mapping[str, object]]


class _Stop(BaseException):
    """Ends a forward pass that has done its part; no error, so nothing that catches errors may catch it."""


@torch.no_grad()
def walk_blocks(
    model: PreTrainedModel, anatomy: Anatomy, ids: Tensor, visit: Visit, *, last: int, work: Work, task: str
) -> None:
    """Visits the blocks up to layer `last` in order with the activations of `ids`, (samples, length) token ids.

    `visit(block, run)` may watch the block by calling `run`, and may change its weights; the outputs that enter the
    next block are computed afterwards, but for the last block, whose outputs nobody needs.
    Raises `BadInput` where the model's pass depends on more than what one block hands the next.
    """
    blocks = [block for block in anatomy.blocks if block.layer <= last]
    _check_followable(model, blocks, ids)
    batches = _batches(model, ids)
    seen_once: set[tuple[str, ...]] = set()
    """Layers, by their names within a block, that a whole pass through it asked once each: the rest of it can wait."""
    with _Store(len(batches), IN_MEMORY * _size(model)) as store:
        entered = _enter(model, blocks[0], batches, store)

        def station(block: Block, call: Call) -> Call:
            def forward(*args: object, **kwargs: object) -> object:
                if block is blocks[0]:
                    same = _same(entered, (args[1:], kwargs), skip="hidden_states")
                else:
                    same = torch.equal(hidden_of(args, kwargs), store.load(0))
                if not same:
                    raise _unfollowable(model)

                def again(batch: int) -> object:
                    hidden = store.load(batch)
                    return call(hidden, *args[1:], **kwargs) if args else call(**{**kwargs, "hidden_states": hidden})

                def run(names: Sequence[str], see: See) -> None:
                    here = tuple(name.removeprefix(block.name) for name in names)
                    for batch in range(len(batches)):
                        work.tell(task, blocks.index(block) + batch / len(batches), len(blocks), "layers")
                        asked: list[str] = []

                        def look(name: str, inputs: Tensor, asked: list[str] = asked) -> None:
                            see(name, inputs)
                            asked.append(name)
                            if here in seen_once and len(set(asked)) == len(names):
                                raise _Stop

                        with watched(model, names, look), suppress(_Stop):
                            again(batch)
                        if sorted(asked) == sorted(names) and not _is_moved(model):
                            seen_once.add(here)

                visit(block, run)
                if block is blocks[-1]:
                    raise _Stop
                out: object = None
                for batch in reversed(range(len(batches))):
                    work.check(task)
                    out = again(batch)
                    store.save(batch, first_of(out))
                return out

            return forward

        with _in_place_of(model, {block.name: partial(station, block) for block in blocks}):
            _pass(model, batches[0])
    work.tell(task, len(blocks), len(blocks), "layers")


@torch.no_grad()
def stream(model: PreTrainedModel, ids: Tensor, *, work: Work, task: str) -> None:
    """Sends all samples through the model as it is, for hooks to see; the head is left out."""
    batches = _batches(model, ids)
    for number, batch in enumerate(batches):
        work.tell(task, number * batch.shape[0], len(ids), "samples")
        _pass(model, batch)
    work.tell(task, len(ids), len(ids), "samples")


@contextmanager
def watched(model: nn.Module, names: Sequence[str], see: See) -> Iterator[None]:
    """While it lasts, `see(name, inputs)` gets what enters each named layer: (tokens, inputs)."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            see(name, inputs[0].reshape(-1, inputs[0].shape[-1]))

        return look

    with ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_pre_hook(hook(name))
            stack.callback(handle.remove)
        yield


def hidden_of(args: tuple[object, ...], kwargs: Mapping[str, object]) -> Tensor:
    """The hidden state among what a block or a sublayer is called with."""
    hidden = args[0] if args else kwargs["hidden_states"]
    assert isinstance(hidden, Tensor)
    return hidden


def first_of(out: object) -> Tensor:
    """The hidden state among what a block or a sublayer returns."""
    hidden = out[0] if isinstance(out, tuple) else out
    assert isinstance(hidden, Tensor)
    return hidden


class _Store:
    """The hidden states that enter the present block, batch by batch; in a nameless file where they are many."""

    def __init__(self, batches: int, budget: float) -> None:
        self._batches = batches
        self._budget = budget
        self._held: dict[int, Tensor] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.clear()
        if self._file is not None:
            self._file.close()

    def save(self, batch: int, hidden: Tensor) -> None:
        """Keeps a batch; all are of one shape, type and device."""
        size = hidden.numel() * hidden.element_size()
        if size * self._batches <= self._budget:
            self._held[batch] = hidden.clone()
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving the store
        self._like = hidden[:0]
        self._shape = hidden.shape
        self._file.seek(batch * size)
        self._file.write(hidden.contiguous().view(torch.uint8).cpu().numpy().tobytes())

    def load(self, batch: int) -> Tensor:
        """A batch, in a tensor of its own."""
        if self._file is None:
            return self._held[batch].clone()
        size = self._shape.numel() * self._like.element_size()
        self._file.seek(batch * size)
        raw = bytearray(self._file.read(size))
        return torch.frombuffer(raw, dtype=self._like.dtype).view(self._shape).to(self._like.device)


def _enter(model: PreTrainedModel, first: Block, batches: Sequence[Tensor], store: _Store) -> _Arguments:
    """Stores what enters the first block; gives what else it is called with, which must be one for all batches."""
    found: list[_Arguments] = []

    def capture(batch: int) -> Callable[[Call], Call]:
        def forward(*args: object, **kwargs: object) -> object:
            store.save(batch, hidden_of(args, kwargs))
            found.append((args[1:], kwargs))
            raise _Stop

        return lambda _call: forward

    for number, batch in enumerate(batches):
        with _in_place_of(model, {first.name: capture(number)}):
            _pass(model, batch)
        if not _same(found[0], found.pop() if number else found[0], skip="hidden_states"):
            raise _unfollowable(model)
    return found[0]


def _check_followable(model: PreTrainedModel, blocks: Sequence[Block], ids: Tensor) -> None:
    """Raises `BadInput` where what a block is called with besides its hidden state depends on what was read."""
    called: list[list[_Arguments]] = []

    def noted(call: Call) -> Call:
        def forward(*args: object, **kwargs: object) -> object:
            called[-1].append((args[1:], kwargs))
            if len(called[-1]) == len(blocks):
                raise _Stop
            return call(*args, **kwargs)

        return forward

    length = min(_GLANCE, ids.shape[1])
    for sample in (ids[:1, :length], ids[-1:, -length:].flip(1)):
        called.append([])
        with _in_place_of(model, {block.name: noted for block in blocks}):
            _pass(model, sample.to(input_device(model)))
    if not all(_same(one, other, skip="hidden_states") for one, other in zip(*called, strict=True)):
        raise _unfollowable(model)


def _batches(model: PreTrainedModel, ids: Tensor) -> Sequence[Tensor]:
    """Batches of one size, so that what a block is called with fits all of them."""
    samples, length = ids.shape
    most = max(1, BATCH_TOKENS // length)
    size = next(size for size in range(min(most, samples), 0, -1) if samples % size == 0)
    return torch.split(ids.to(input_device(model)), size)


def _pass(model: PreTrainedModel, ids: Tensor) -> None:
    """All tokens through all blocks; the head, whose answer nobody needs, is not run."""

    def stop(_module: nn.Module, _args: object) -> None:
        raise _Stop

    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module), "a model without a head has no anatomy"
    handle = head.register_forward_pre_hook(stop)
    try:
        with suppress(_Stop):
            model(input_ids=ids, use_cache=False)
    finally:
        handle.remove()


@contextmanager
def _in_place_of(model: nn.Module, stations: Mapping[str, Callable[[Call], Call]]) -> Iterator[None]:
    """While it lasts, the named modules' forward methods are what the stations make of them."""
    with ExitStack() as stack:
        for name, station in stations.items():
            module = model.get_submodule(name)
            own = module.__dict__.get("forward")  # accelerate puts one there to move weights in and out
            module.__dict__["forward"] = station(module.forward)
            stack.callback(_put_back, module, own)
        yield


def _put_back(module: nn.Module, forward: object) -> None:
    if forward is None:
        del module.__dict__["forward"]
    else:
        module.__dict__["forward"] = forward


def _is_moved(model: PreTrainedModel) -> bool:
    """Does accelerate move weights in and out, which a pass that is broken off would leave half done?"""
    return any("_hf_hook" in module.__dict__ for module in model.modules())


def _size(model: PreTrainedModel) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


def _same(a: object, b: object, skip: str = "") -> bool:
    """Are two calls' arguments equal, tensors by value?"""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, (tuple, list)):
        return isinstance(b, type(a)) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping):
        keys = a.keys() - {skip}
        return isinstance(b, Mapping) and keys == b.keys() - {skip} and all(_same(a[key], b[key]) for key in keys)
    return bool(a == b)


def _unfollowable(model: PreTrainedModel) -> BadInput:
    return BadInput(
        "Can't go block by block",
        f"The forward pass of {type(model).__name__} depends on more than what one block hands the next.",
        "Use a method that needs no walk through the blocks: wanda-onepass, magnitude, random.",
    )
