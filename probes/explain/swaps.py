"""Puts single sublayers of one model, or pieces of them, into the other, and reads one context with them.

Heal: the dense sublayer in the pruned model. Damage: the pruned sublayer in the dense one. All positions of the context
use the exchanged weights, and nothing before the exchange is computed again. Both models read the whole context in one
pass without a cache, so figures can differ from a run's in the last bits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.batches import LEAST, WIDTH, Batch, Resumed, through_blocks, width_of
from probes.explain.graphs import Instead, graph_with, output_of
from probes.explain.pieces import Piece
from probes.explain.sublayers import ModelSide, Sublayers
from probes.models.devices import input_device
from probes.models.hooks import Call, Stop, entering, first_of, leaving, until_stop
from probes.models.rotary import Rotary
from probes.schema.part import SUBLAYERS, Part
from probes.system.threads import side_by_side

R = TypeVar("R")
MOST_LANES = 4
"""A CPU that computes with more threads than this uses all of them for one pass, so that the first values come soon."""


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
        changing = bool(Rotary(base.model))  # a pass changes it until it is over
        self._side_by_side = not changing and self._ids.is_cpu and torch.get_num_threads() <= MOST_LANES
        self._width = 1 if changing else width_of(len(context))
        self._calls: dict[int, dict[int, Call]] = {}
        """The arguments of every block, by the number of rows."""
        (self.logits,) = self._run([self._record])
        """The logits of the model as it is, (positions, V)."""

    @property
    def lanes(self) -> int:
        """How many passes are computed at the same time."""
        return torch.get_num_threads() if self._side_by_side else 1

    @property
    def together(self) -> int:
        """How many exchanges are best asked for at once."""
        return self.lanes * self._width

    def exchanged(self, *parts: Part | Piece, beginning: int | None = None) -> Tensor:
        """The logits with these sublayers or pieces exchanged, (positions, V). Layers before `beginning` are not
        computed again; without it, those before the first exchanged one."""
        (logits,) = self._run([partial(self._exchanged, parts, beginning)])
        return logits

    def each(self, parts: Sequence[Part | Piece], between: Callable[[], None] = lambda: None) -> list[Tensor]:
        """The logits with one of these sublayers or pieces exchanged at a time, (positions, V) each.

        Several share a batch above the layer where they part, if its row without an exchange ends as the recorded run
        does, bit for bit; else each is a pass of its own. `between` is called between two blocks or passes, when
        nothing is changed in a model.
        """
        if self._width > 1 and len(parts) >= LEAST and (found := self._batched(parts, between)) is not None:
            return found
        logits: list[Tensor] = []
        for start in range(0, len(parts), self.lanes):
            between()
            some = parts[start : start + self.lanes]
            logits += self._run([partial(self._exchanged, (part,), None) for part in some])
        return logits

    def _run(self, passes: Sequence[Callable[[], R]]) -> list[R]:
        return side_by_side(passes) if self._side_by_side else [one() for one in passes]

    def _batched(self, parts: Sequence[Part | Piece], between: Callable[[], None]) -> list[Tensor] | None:
        """None if a batch moves the last bits."""
        order = sorted(range(len(parts)), key=lambda number: parts[number].layer)
        count = max(1, min(self.lanes, len(parts) // LEAST), -(-len(parts) // WIDTH))
        batches = [Batch(self._resumed_by_layer({i: parts[i] for i in order[first::count]})) for first in range(count)]
        blocks = {block.layer: self._base.blocks[block.layer] for block in self._sublayers.anatomy.blocks}
        through_blocks(batches, blocks, self._calls_of, self._stream, between, self._run)
        ends: dict[int, Tensor] = {}
        for batch in batches:
            assert batch.stream is not None
            assert self._left is not None
            if not torch.equal(batch.stream[:1], self._left):
                self._width = 1
                return None
            ends |= {number: batch.stream[row + 1 :][:1] for row, number in enumerate(batch.rows)}
        between()
        return self._run([partial(self._read_out, ends[number]) for number in range(len(parts))])

    def _resumed_by_layer(self, parts: Mapping[int, Part | Piece]) -> dict[int, list[tuple[int, Resumed]]]:
        found: dict[int, list[tuple[int, Resumed]]] = {}
        for number, part in parts.items():
            found.setdefault(part.layer, []).append((number, partial(self._resumed, part)))
        return found

    def _resumed(self, part: Part | Piece) -> Tensor:
        """The stream after the block of an exchange."""
        block = self._block(part.layer, [part], resumed=True)
        return first_of(self._calls_of(1)[part.layer].with_hidden(block, self._stream[part.layer]))

    def _calls_of(self, rows: int) -> dict[int, Call]:
        """The arguments of every block in a pass over so many rows."""
        if rows in self._calls:
            return self._calls[rows]
        found: dict[int, Call] = {}
        blocks = self._sublayers.anatomy.blocks

        def noting(layer: int) -> Callable[[Call], object]:
            def note(call: Call) -> object:
                found[layer] = call
                if layer == blocks[-1].layer:
                    raise Stop
                return output_of(call.hidden, self._sublayers.values[layer])

            return note

        stubs = {block.name: Instead(self._base.blocks[block.layer], noting(block.layer)) for block in blocks}
        with torch.no_grad(), until_stop():
            answer(graph_with(self._base.model, stubs), self._ids.expand(rows, -1), 1)
        self._calls[rows] = found
        return found

    def _read_out(self, stream: Tensor) -> Tensor:
        """The logits of a stream that has left the last block, (1, tokens, d)."""
        blocks = self._sublayers.anatomy.blocks
        return self._read({block.name: self._skipped(block.layer, stream) for block in blocks})

    def _exchanged(self, parts: Sequence[Part | Piece], beginning: int | None) -> Tensor:
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
