"""Estimates the heal of every sublayer at once, with one forward and one backward pass of the pruned model.

Each block has a graph of its own, so that another thread can use the models between two blocks, on the way back too.

The estimate is first order: -⟨∂KL/∂o, f(x) - f'(x)⟩ over all positions, where o is what the pruned sublayer f' adds to
the stream, x its input there, and f the dense sublayer (attribution patching, arXiv 2403.00745). It is good for an
order in which to look, and wrong where the KL is far from linear. A norm that attention and MLP both read counts as
part of either here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from probes.explain.graphs import Instead, graph_with, output_of
from probes.explain.sublayers import Sublayers
from probes.explain.swaps import answer, mean_kl
from probes.models.devices import input_device
from probes.models.hooks import Call, first_of
from probes.models.rotary import Rotary
from probes.schema.foreign_text import said
from probes.schema.part import SUBLAYERS, Part
from probes.system.memory import ran_out


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated heal of every sublayer, in the order of the stream."""

    heals: Mapping[Part, float]
    """Empty if there is no estimate."""
    note: str = ""
    """A sentence that says why there is none."""


def estimate_heals(
    sublayers: Sublayers,
    context: Sequence[int],
    positions: int = 1,
    *,
    reference: Tensor | None = None,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    between: Callable[[], None] = lambda: None,
) -> Estimate:
    """The estimate for the steps that `measure_swaps` measures. `reference` are the dense model's logits there,
    (positions, V), if they are known. `between` is called between two blocks, when nothing is changed in a model. If
    memory runs out, or a module can't be differentiated, the estimate is empty and says so."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return Estimate(_heals(sublayers, context, positions, reference, vocabulary, temperature, between))
    except (MemoryError, torch.OutOfMemoryError) as problem:
        return Estimate({}, f"Heals are not estimated, because memory ran out: {ran_out(problem)}")
    except RuntimeError as problem:  # whatever a quantised module raises, the exact runs need no gradient
        return Estimate({}, f"Heals are not estimated, because the backward pass failed: {said(problem)}")


def _heals(
    sublayers: Sublayers,
    context: Sequence[int],
    positions: int,
    reference: Tensor | None,
    vocabulary: int | None,
    temperature: float,
    between: Callable[[], None],
) -> dict[Part, float]:
    dense, pruned = sublayers.dense, sublayers.pruned
    ids = torch.tensor([list(context)], device=input_device(pruned.model))
    if reference is None:
        with torch.no_grad():
            reference = answer(dense.model, ids.to(input_device(dense.model)), positions)[:, :vocabulary]
    reference = reference.detach()
    changing = Rotary(dense.model) or Rotary(pruned.model)  # a pass changes them until it is over
    pause = _nothing if changing else between
    read: list[_ReadBlock] = []

    def running(layer: int) -> Callable[[Call], object]:
        def run(call: Call) -> object:
            pause()
            hidden = call.hidden.detach().requires_grad_()
            middle = None if layer in sublayers.parallel else pruned.attn[layer](call, hidden)
            made = first_of(call.with_hidden(pruned.blocks[layer], hidden)) if middle is None else None
            output = made if made is not None else pruned.mlp[layer](call, middle)
            left = output.detach().requires_grad_()
            read.append(_ReadBlock(layer, call, hidden, middle, output, left))
            return output_of(left, sublayers.values[layer])

        return run

    blocks = {
        block.name: Instead(pruned.blocks[block.layer], running(block.layer)) for block in sublayers.anatomy.blocks
    }
    logits = answer(graph_with(pruned.model, blocks), ids, positions)[:, :vocabulary]
    kl = mean_kl(reference.to(logits.device), logits, temperature)
    del logits
    found: dict[Part, float] = {}
    gradient = _gradient(kl, read[-1].left)
    while read:
        pause()
        block = read.pop()
        changes = _changes(sublayers, block)
        at_attention, at_input = gradient, None
        if block.middle is None:
            at_input = _gradient(block.output, block.hidden, gradient)
        else:
            at_attention, at_input = torch.autograd.grad(block.output, (block.middle, block.hidden), gradient)
        for kind, change, at in zip(SUBLAYERS, changes, (at_attention, gradient), strict=True):
            found[Part(kind, block.layer)] = 0.0 - float((at.double() * change).sum())
        gradient = at_input
        if read and block.call.hidden is not read[-1].left:  # the model does something between two blocks
            gradient = _gradient(block.call.hidden, read[-1].left, gradient)
    return {part: found[part] for part in sublayers.parts}


@dataclass(frozen=True, slots=True, eq=False)
class _ReadBlock:
    """A block of the pruned run, with a graph of its own."""

    layer: int
    call: Call
    hidden: Tensor
    """The stream that it reads."""
    middle: Tensor | None
    """The stream after its attention; None if both sublayers read `hidden`, and its output is that of either."""
    output: Tensor
    left: Tensor
    """The same numbers, as what comes after it reads them."""


@torch.no_grad()
def _changes(sublayers: Sublayers, block: _ReadBlock) -> tuple[Tensor, Tensor]:
    """What the dense attention and the dense MLP would add on the same input, less what the pruned ones add."""
    dense, pruned, layer, call = sublayers.dense, sublayers.pruned, block.layer, block.call
    attention = pruned.attn[layer](call, block.hidden) if block.middle is None else block.middle
    read = block.hidden if block.middle is None else block.middle
    mlp = pruned.mlp[layer](call, block.hidden) if block.middle is None else block.output
    return dense.attn[layer](call, block.hidden) - attention, dense.mlp[layer](call, read) - mlp


def _gradient(of: Tensor, at: Tensor, output: Tensor | None = None) -> Tensor:
    (found,) = torch.autograd.grad(of, at, output)
    return found


def _nothing() -> None:
    """No pause."""
