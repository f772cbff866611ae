"""Puts single sublayers of one model, or pieces of them, into the other, and reads one context with them.

Heal: the dense sublayer in the pruned model. Damage: the pruned sublayer in the dense one. All positions of the context
use the exchanged weights, and nothing before the exchange is computed again. Both models read the whole context in one
pass without a cache, so figures can differ from a run's in the last bits.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.graphs import Instead, graph_with, output_of
from probes.explain.pieces import Piece
from probes.explain.sublayers import ModelSide, Sublayers
from probes.models.devices import input_device
from probes.models.hooks import Call, entering, first_of, leaving
from probes.models.rotary import Rotary
from probes.schema.part import SUBLAYERS, Part


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
        """The output of every attention."""
        self._left: Tensor | None = None
        """The stream after the last block."""
        self.logits = self._record()
        """The logits of the model as it is, (positions, V)."""

    def exchanged(self, *parts: Part | Piece, beginning: int | None = None) -> Tensor:
        """The logits with these sublayers or pieces exchanged, (positions, V). Layers before `beginning` are not
        computed again; without it, those before the first exchanged one."""
        layers = [block.layer for block in self._sublayers.anatomy.blocks]
        first = min([part.layer for part in parts], default=layers[-1]) if beginning is None else beginning
        modules: dict[str, nn.Module] = {}
        for block in self._sublayers.anatomy.blocks:
            here = [part for part in parts if part.layer == block.layer]
            if block.layer < first:
                modules[block.name] = self._skipped(block.layer, self._stream[first])
            else:
                modules[block.name] = self._block(block.layer, here, resumed=block.layer == first)
        return self._read(modules)

    def _block(self, layer: int, parts: Sequence[Part | Piece], *, resumed: bool) -> nn.Module:
        base, other = self._base.blocks[layer], self._other.blocks[layer]
        children: dict[str, nn.Module] = {}
        for part in parts:
            if isinstance(part, Piece):
                children |= part.modules(base, other)
            else:
                children |= {name: other.get_submodule(name) for name in self._sublayers.members[part]}
        attention = self._sublayers.attention[layer]
        if resumed and all(part.kind != SUBLAYERS[0] for part in parts):
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
            if path == last:
                self._left = first_of(output)
            else:
                self._attention[attentions[path]] = output

        last = self._sublayers.anatomy.blocks[-1].name
        graph = graph_with(self._base.model, self._own_blocks())
        with entering(graph, names, enter), leaving(graph, [*attentions, last], leave):
            return self._answer(graph)

    def first_nonfinite(self) -> Part | None:
        """The sublayer after which the stream is not finite any more; None if it is not one."""
        blocks = self._sublayers.anatomy.blocks
        streams = [self._stream[block.layer] for block in blocks]
        finite = [bool(torch.isfinite(stream).all()) for stream in streams]
        if not finite[0] or (self._left is not None and bool(torch.isfinite(self._left).all())):
            return None
        layer = [block.layer for block, good in zip(blocks, finite, strict=True) if good][-1]
        attention = self._attention[layer]
        if isinstance(attention, Tensor | tuple) and not bool(torch.isfinite(first_of(attention)).all()):
            return Part("attn", layer)
        return Part("mlp", layer)

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
