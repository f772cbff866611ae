"""Estimates the heal of every sublayer at once, with one forward and one backward pass of the pruned model.

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
from probes.models.hooks import Call, at_gradient, first_of
from probes.schema.foreign_text import said
from probes.schema.part import Part
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
) -> Estimate:
    """The estimate for the steps that `measure_swaps` measures. `reference` are the dense model's logits there,
    (positions, V), if they are known. If memory runs out, or a module can't be differentiated, the estimate is empty
    and says so."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return Estimate(_heals(sublayers, context, positions, reference, vocabulary, temperature))
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
) -> dict[Part, float]:
    dense, pruned = sublayers.dense, sublayers.pruned
    ids = torch.tensor([list(context)], device=input_device(pruned.model))
    if reference is None:
        reference = answer(dense.model, ids.to(input_device(dense.model)), positions)[:, :vocabulary]
    reference = reference.detach()
    found = dict.fromkeys(sublayers.parts, 0.0)

    def adds(part: Part, change: Tensor, after: Tensor) -> None:
        """Notes the estimate once the gradient at the stream after the sublayer is known."""

        def note(gradient: Tensor) -> None:
            found[part] -= float((gradient.double() * change).sum())

        at_gradient(after, note)

    def running(layer: int) -> Callable[[Call], object]:
        attention, mlp = Part("attn", layer), Part("mlp", layer)

        def run(call: Call) -> object:
            hidden = call.hidden
            if not hidden.requires_grad:
                hidden = hidden.detach().requires_grad_()
            middle = pruned.attn[layer](call, hidden)
            if layer in sublayers.parallel:
                output = first_of(call.with_hidden(pruned.blocks[layer], hidden))
                after_attention = output  # both add to it, so its gradient is that of either's output
                read = hidden
                with torch.no_grad():
                    after_mlp = pruned.mlp[layer](call, hidden)
            else:
                output = after_mlp = pruned.mlp[layer](call, middle)
                after_attention, read = middle, middle
            with torch.no_grad():
                adds(attention, dense.attn[layer](call, hidden) - middle, after_attention)
                adds(mlp, dense.mlp[layer](call, read) - after_mlp, output)
            return output_of(output, sublayers.values[layer])

        return run

    blocks = {
        block.name: Instead(pruned.blocks[block.layer], running(block.layer)) for block in sublayers.anatomy.blocks
    }
    logits = answer(graph_with(pruned.model, blocks), ids, positions)[:, :vocabulary]
    mean_kl(reference.to(logits.device), logits, temperature).backward()
    return found
