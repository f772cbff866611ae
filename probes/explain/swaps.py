"""Puts single sublayers of one model into the other, and measures what that changes on one context.

Heal: the dense sublayer in the pruned model. Damage: the pruned sublayer in the dense one. All positions of the context
use the exchanged weights, and nothing before the exchange is computed again. Both models read the whole context in one
pass without a cache, so figures can differ from a run's in the last bits.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.graphs import Instead, graph_with, output_of
from probes.explain.sublayers import ModelSide, Sublayers
from probes.models.devices import input_device
from probes.models.hooks import Call, entering, leaving
from probes.models.rotary import Rotary
from probes.schema.errors import Failure
from probes.schema.explanation import Swap, Swaps
from probes.schema.part import SUBLAYERS, Part
from probes.system.progress import UNWATCHED, Work

TASK = "Exchanging sublayers"


class Exchanges:
    """One model's pass over a context, and the same pass with sublayers of the other model in it."""

    def __init__(
        self, sublayers: Sublayers, base: ModelSide, other: ModelSide, context: Sequence[int], positions: int
    ) -> None:
        """Reads the context. `positions` is how many of its last positions are answered."""
        self._sublayers, self._base, self._other = sublayers, base, other
        self._ids = torch.tensor([list(context)], device=input_device(base.model))
        self._positions = positions
        self._stream: dict[int, Tensor] = {}
        """The input of every block."""
        self._attention: dict[int, object] = {}
        """What every attention returned."""
        self.logits = self._record()
        """Those of the model as it is, (positions, V)."""

    def exchanged(self, *parts: Part, beginning: int | None = None) -> Tensor:
        """The logits with these sublayers exchanged, (positions, V). Layers before `beginning` are not computed again;
        without it, those before the first exchanged one."""
        layers = [block.layer for block in self._sublayers.anatomy.blocks]
        first = min([part.layer for part in parts], default=layers[-1]) if beginning is None else beginning
        modules: dict[str, nn.Module] = {}
        for block in self._sublayers.anatomy.blocks:
            kinds = {part.kind for part in parts if part.layer == block.layer}
            if block.layer < first:
                modules[block.name] = self._skipped(block.layer, self._stream[first])
            else:
                modules[block.name] = self._block(block.layer, kinds, resumed=block.layer == first)
        return self._read(modules)

    def _block(self, layer: int, kinds: set[str], *, resumed: bool) -> nn.Module:
        base, other = self._base.blocks[layer], self._other.blocks[layer]
        children: dict[str, nn.Module] = {}
        for kind in kinds:
            children |= {name: other.get_submodule(name) for name in self._sublayers.members[Part(kind, layer)]}
        attention = self._sublayers.attention[layer]
        if resumed and SUBLAYERS[0] not in kinds:
            answer = self._attention[layer]  # its input is what it was
            children[attention] = Instead(base.get_submodule(attention), lambda _call: answer)
        return graph_with(base, children)

    def _skipped(self, layer: int, stream: Tensor) -> nn.Module:
        values = self._sublayers.values[layer]
        return Instead(self._base.blocks[layer], lambda _call: output_of(stream, values))

    def _record(self) -> Tensor:
        names = {block.name: block.layer for block in self._sublayers.anatomy.blocks}
        attentions = {f"{name}.{self._sublayers.attention[layer]}": layer for name, layer in names.items()}

        def enter(path: str, call: Call) -> None:
            self._stream[names[path]] = call.hidden

        def leave(path: str, _call: Call, output: object) -> None:
            self._attention[attentions[path]] = output

        graph = graph_with(self._base.model, self._own_blocks())
        with entering(graph, names, enter), leaving(graph, attentions, leave):
            return self._answer(graph)

    def _own_blocks(self) -> dict[str, nn.Module]:
        """Copies, so that nothing is hooked in the model itself."""
        blocks = {}
        for block in self._sublayers.anatomy.blocks:
            whole = self._base.blocks[block.layer]
            attention = self._sublayers.attention[block.layer]
            blocks[block.name] = graph_with(whole, {attention: graph_with(whole.get_submodule(attention), {})})
        return blocks

    def _read(self, modules: Mapping[str, nn.Module]) -> Tensor:
        return self._answer(graph_with(self._base.model, modules))

    @torch.no_grad()
    def _answer(self, graph: PreTrainedModel) -> Tensor:
        return answer(graph, self._ids, self._positions)


def answer(graph: PreTrainedModel, ids: Tensor, positions: int) -> Tensor:
    """The logits of the last positions of one pass without a cache, (positions, V)."""
    keep = {"logits_to_keep": positions} if "logits_to_keep" in inspect.signature(graph.forward).parameters else {}
    rotary = Rotary(graph)
    with rotary.at_length(ids.shape[1]) if rotary else nullcontext():
        logits: Tensor = graph(input_ids=ids, use_cache=False, **keep).logits[0, -positions:]
    return logits


def mean_kl(dense: Tensor, pruned: Tensor, temperature: float) -> Tensor:
    """The mean over positions of KL(dense ‖ pruned) of logits (positions, V), in float64; exactly 0 for equal ones."""
    log_p, log_q = (torch.log_softmax(logits.double() / temperature, -1) for logits in (dense, pruned))
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


@torch.no_grad()
def measure_swaps(
    sublayers: Sublayers,
    context: Sequence[int],
    positions: int = 1,
    *,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    work: Work = UNWATCHED,
) -> Swaps:
    """Heal and damage of every sublayer at the steps that follow the last `positions` beginnings of a context.

    Distributions are over the ids below `vocabulary`. Raises `Failure` if a model computes NaN or infinity, or if
    nothing is exchanged and the figures change all the same; `Cancelled`.
    """
    work.check(TASK)
    dense = Exchanges(sublayers, sublayers.dense, sublayers.pruned, context, positions)
    pruned = Exchanges(sublayers, sublayers.pruned, sublayers.dense, context, positions)
    reference = dense.logits[:, :vocabulary]
    top = reference.argmax(-1)

    def kl(logits: Tensor) -> float:
        return max(0.0, float(mean_kl(reference, logits[:, :vocabulary].to(reference.device), temperature)))

    for name, model in (("dense", dense), ("pruned", pruned)):
        if not bool(torch.isfinite(model.logits).all()):
            message = f"The {name} model computes NaN or infinity on this context, so nothing can be ranked."
            raise Failure("Not finite", message, "Choose an earlier step, or restore what computes it.")
    before, middle = kl(pruned.logits), sublayers.anatomy.blocks[len(sublayers.anatomy.blocks) // 2].layer
    controls = kl(dense.exchanged(beginning=middle)), kl(pruned.exchanged(beginning=middle)) - before
    control = max(controls, key=abs)
    if control != 0:
        raise Failure(
            "Control",
            f"With nothing exchanged the KL changes by {control:g}, so exchanges can't be measured here.",
            "Use a CPU or another attention kernel.",
        )
    found: dict[str, list[Swap]] = {"heal": [], "damage": []}
    total = 2 * len(sublayers.parts)
    for part in reversed(sublayers.parts):  # the cheapest first
        for name, model, kl_before in (("heal", pruned, before), ("damage", dense, 0.0)):
            work.report(TASK, len(found["heal"]) + len(found["damage"]), total, "sublayers")
            logits = model.exchanged(part)
            kl_after = kl(logits)
            returns = torch.equal(logits[:, :vocabulary].argmax(-1).to(top.device), top)
            found[name].append(Swap(part.layer, part.kind, kl_before, kl_after, kl_before - kl_after, returns))
    heal = sorted(found["heal"], key=lambda one: -one.kl_drop if math.isfinite(one.kl_drop) else math.inf)
    damage = sorted(found["damage"], key=lambda one: -one.kl_after if math.isfinite(one.kl_after) else math.inf)
    healed = kl(pruned.exchanged(*sublayers.parts))
    additivity = math.fsum(one.kl_drop for one in heal) / before if before > 0 else None
    return Swaps(positions, before, healed, tuple(heal), tuple(damage), additivity, control)
