"""Carries calibration activations through a model block by block, holding one block's inputs at a time.

The first few samples go through the model's own forward pass. The model calls each block with its own arguments (masks,
rotary embeddings, attention type), and the other samples go through that block with the same arguments. So the walk
needs no knowledge of the architecture, and a block can be changed after its inputs were seen and before its outputs are
computed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.models.devices import input_device
from probes.models.hooks import (
    Arguments,
    Call,
    Forward,
    Stop,
    entering,
    first_of,
    replacing_forward,
    stopping_at,
    until_stop,
)
from probes.schema.errors import BadInput
from probes.system.progress import Work
from probes.twin.anatomy import Anatomy, Block

BATCH_TOKENS = 1024
"""Tokens that go through a block at once, unless a single sample is longer."""
_GLANCE = 16
"""Tokens of each of the two samples on which a model is tested before a walk."""
IN_MEMORY = 0.03
"""Share of the model's size that the blocks' inputs may take in memory; larger inputs are kept in a file."""

See = Callable[[str, Tensor], None]
"""Gets a matrix's name and its inputs, (tokens, inputs)."""
RunBlock = Callable[[Sequence[str], See], None]
"""Sends all samples through the block, shows the inputs of the named matrices, and discards the outputs."""
Visit = Callable[[Block, RunBlock], None]


@torch.no_grad()
def walk_blocks(
    model: PreTrainedModel, anatomy: Anatomy, ids: Tensor, visit: Visit, *, last: int, work: Work, task: str
) -> None:
    """Visits the blocks up to layer `last` in order with the activations of `ids`, (samples, length) token ids.

    `visit(block, run)` may watch the block by calling `run`, and may change its weights. The outputs of the block are
    computed afterwards and enter the next one; those of the last block are not needed. Raises `BadInput` if a block
    gets more from the model than the previous block's output.
    """
    blocks = [block for block in anatomy.blocks if block.layer <= last]
    _check_followable(model, blocks, ids)
    batches = _batches(model, ids)
    with _Store(len(batches), IN_MEMORY * _size(model)) as store:
        _Walk(model, blocks, batches, store, visit, work, task).carry_out()
    work.report(task, len(blocks), len(blocks), "layers")


@torch.no_grad()
def stream(model: PreTrainedModel, ids: Tensor, *, work: Work, task: str) -> None:
    """Sends all samples through the model as it is now, for hooks; the head is not run."""
    batches = _batches(model, ids)
    for number, batch in enumerate(batches):
        work.report(task, number * batch.shape[0], len(ids), "samples")
        _pass(model, batch)
    work.report(task, len(ids), len(ids), "samples")


@contextmanager
def watched(model: nn.Module, names: Sequence[str], see: See) -> Iterator[None]:
    """Calls `see(name, inputs)` with the inputs of each named matrix, (tokens, inputs), while the block lasts."""

    def look(name: str, call: Call) -> None:
        see(name, call.hidden.reshape(-1, call.hidden.shape[-1]))

    with entering(model, names, look, idle=True):
        yield


class _Walk:
    """One walk: the batches go through the blocks, and the store holds the inputs of the present block."""

    def __init__(
        self,
        model: PreTrainedModel,
        blocks: Sequence[Block],
        batches: Sequence[Tensor],
        store: _Store,
        visit: Visit,
        work: Work,
        task: str,
    ) -> None:
        self._model, self._blocks, self._batches, self._store = model, blocks, batches, store
        self._visit, self._work, self._task = visit, work, task
        self._stoppable = not _is_moved(model)
        self._seen_once: set[tuple[str, ...]] = set()
        """Sets of matrices, by their names within a block, of which each ran once in a run of the block."""

    def carry_out(self) -> None:
        entered = self._enter()

        def replacement(block: Block, forward: Forward) -> Forward:
            return lambda *args, **kwargs: self._in_block(block, forward, Call(args, kwargs), entered)

        with replacing_forward(self._model, {block.name: partial(replacement, block) for block in self._blocks}):
            _pass(self._model, self._batches[0])

    def _enter(self) -> Arguments:
        """Stores the inputs of the first block; returns its other arguments, which must be the same in all batches."""
        found: list[Arguments] = []

        def capture(_name: str, call: Call) -> None:
            self._store.save(number, call.hidden)
            found.append(call.rest)
            raise Stop

        with entering(self._model, [self._blocks[0].name], capture):
            for number, batch in enumerate(self._batches):  # noqa: B007 - `capture` reads it
                _pass(self._model, batch)
                if not _same(found[0], found[-1]):
                    raise _unfollowable(self._model)
                del found[1:]
        return found[0]

    def _in_block(self, block: Block, forward: Forward, call: Call, entered: Arguments) -> object:
        """Replaces a block's forward method while the first batch goes through the model."""
        first = block is self._blocks[0]
        if not (_same(entered, call.rest) if first else torch.equal(call.hidden, self._store.load(0))):
            raise _unfollowable(self._model)

        def through(batch: int) -> object:
            return call.with_hidden(forward, self._store.load(batch))

        self._visit(block, partial(self._run, block, through))
        if block is self._blocks[-1]:
            raise Stop
        out: object = None
        for batch in reversed(range(len(self._batches))):
            self._work.check(self._task)
            out = through(batch)
            self._store.save(batch, first_of(out))
        return out  # of the first batch, with which the model continues

    def _run(self, block: Block, through: Callable[[int], object], names: Sequence[str], see: See) -> None:
        """Passes the inputs of the named matrices to `see`. A batch ends early after the last one, if each runs
        once."""
        local = tuple(name.removeprefix(block.name) for name in names)
        for batch in range(len(self._batches)):
            done = self._blocks.index(block) + batch / len(self._batches)
            self._work.report(self._task, done, len(self._blocks), "layers")
            ran: list[str] = []

            def look(name: str, inputs: Tensor, ran: list[str] = ran) -> None:
                see(name, inputs)
                ran.append(name)
                if local in self._seen_once and len(set(ran)) == len(names):
                    raise Stop

            with until_stop(), watched(self._model, names, look):
                through(batch)
            if self._stoppable and sorted(ran) == sorted(names):
                self._seen_once.add(local)


class _Store:
    """The hidden states that enter the present block, by batch; in a temporary file if they are large."""

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
        """Keeps a batch; all batches have one shape, dtype and device."""
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


def _check_followable(model: PreTrainedModel, blocks: Sequence[Block], ids: Tensor) -> None:
    """Raises `BadInput` if a block's arguments other than its hidden state depend on the text."""
    calls: list[list[Arguments]] = []

    def note(_name: str, call: Call) -> None:
        calls[-1].append(call.rest)
        if len(calls[-1]) == len(blocks):
            raise Stop

    length = min(_GLANCE, ids.shape[1])
    with entering(model, [block.name for block in blocks], note, idle=True):
        for sample in (ids[:1, :length], ids[-1:, -length:].flip(1)):
            calls.append([])
            _pass(model, sample.to(input_device(model)))
    if not all(_same(one, other) for one, other in zip(*calls, strict=True)):
        raise _unfollowable(model)


def _batches(model: PreTrainedModel, ids: Tensor) -> Sequence[Tensor]:
    """Batches of one size, so that the arguments of a block's call fit all of them."""
    samples, length = ids.shape
    most = max(1, BATCH_TOKENS // length)
    size = next(size for size in range(min(most, samples), 0, -1) if samples % size == 0)
    return torch.split(ids.to(input_device(model)), size)


def _pass(model: PreTrainedModel, ids: Tensor) -> None:
    """Sends all tokens through all blocks; the head is not run."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module), "a model without a head has no anatomy"
    with stopping_at(head, ""):
        model(input_ids=ids, use_cache=False)


def _is_moved(model: PreTrainedModel) -> bool:
    """Does accelerate move weights to the device and back? A stopped pass would leave them there."""
    return any("_hf_hook" in module.__dict__ for module in model.modules())


def _size(model: PreTrainedModel) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


def _same(a: object, b: object) -> bool:
    """Are the arguments of two calls equal, tensors by value?"""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, (tuple, list)):
        return isinstance(b, type(a)) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _unfollowable(model: PreTrainedModel) -> BadInput:
    return BadInput(
        "Can't go block by block",
        f"A block of {type(model).__name__} gets more from the model than the previous block's output.",
        "Use a method that needs no walk through the blocks: wanda-onepass, magnitude, random.",
    )
