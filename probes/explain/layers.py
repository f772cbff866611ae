"""Measures at one step how far every sublayer is from the dense one: on the same input, and as it has accumulated.

Both models read the step's last token with the caches that stepping has filled, so an exact copy differs in nothing.
The pruned sublayers also read the dense model's input and cache, beside the dense run; they leave no trace in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.explain.graphs import Instead, cache_in, graph_with, output_of
from probes.explain.sublayers import HalfBlock, ModelSide, Sublayers
from probes.models.hooks import Call, Forward, first_of, replacing_forward
from probes.schema.errors import Failure
from probes.schema.explanation import LayerFigures, Layers, LensToken, SpaceFigures
from probes.schema.part import SUBLAYERS, Part
from probes.stepping.cached_model import CachedModel, NextTokenOutput
from probes.stepping.distribution import Distribution
from probes.stepping.spaces import compare

_AT_ONCE = 8
"""Rows whose distributions are in memory at once."""


@torch.inference_mode()
def measure_layers(
    dense: CachedModel,
    pruned: CachedModel,
    context: Sequence[int],
    sublayers: Sublayers,
    *,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    piece: Callable[[int], str] = str,
) -> Layers:
    """All sublayers at the step that follows `context`, which both models read.

    Distributions are over the ids below `vocabulary`. Raises `Failure` if a model computes NaN or infinity.
    """
    here, there = _Streams(sublayers, sublayers.dense, beside=sublayers.pruned), _Streams(sublayers, sublayers.pruned)
    answer, answer_pruned = here.read(dense, context), there.read(pruned, context)
    parts = sublayers.parts
    kinds = ("dense", "pruned", "dense alone", "pruned alone")
    sources = (here.own, there.own, here.alone, here.beside_alone)
    readers = (dense, pruned, dense, dense)  # on the same input, nothing differs but the sublayer
    hidden = {kind: torch.stack([source[part] for part in parts]) for kind, source in zip(kinds, sources, strict=True)}
    logits: dict[str, Tensor] = {}
    for kind, reader in zip(kinds, readers, strict=True):
        if kind == "dense alone" and torch.equal(hidden[kind], hidden["dense"]):  # but where sublayers are parallel
            logits[kind] = logits["dense"].clone()
        else:
            logits[kind] = read_out(sublayers, reader.model, hidden[kind])[:, :vocabulary]
    for kind, output in (("dense", answer), ("pruned", answer_pruned)):
        logits[kind][-1] = output.logits[0, :vocabulary]

    def compared(a: str, b: str, rows: slice) -> tuple[list[SpaceFigures], Distribution, Distribution]:
        h, h2 = hidden[a][rows], hidden[b][rows].to(hidden[a].device)
        p, q = (Distribution(logits[kind][rows], temperature) for kind in (a, b))
        return [SpaceFigures(one.h, one.z, one.p) for one in compare(h, h2, p, q, top=1)], p, q

    def lens(distribution: Distribution) -> LensToken:
        token = int(distribution.first)
        return LensToken(token, piece(token), distribution.at(token))

    figures: list[LayerFigures] = []
    for start in range(0, len(parts), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        accumulated, p, q = compared("dense", "pruned", rows)
        same_input, _, _ = compared("dense alone", "pruned alone", rows)
        for row, (part, one, other) in enumerate(zip(parts[rows], same_input, accumulated, strict=True)):
            one_row = slice(row, row + 1)
            figures.append(LayerFigures(part.layer, part.kind, one, other, lens(p[one_row]), lens(q[one_row])))
    return Layers(tuple(figures))


def read_out(sublayers: Sublayers, model: PreTrainedModel, states: Tensor) -> Tensor:
    """The logits of states of the residual stream, (rows, d), through a model's own final norm and head: (rows, V)."""
    last = sublayers.anatomy.blocks[-1].layer

    def skipping(layer: int) -> Callable[[Call], object]:
        return lambda call: output_of(states[:, None] if layer == last else call.hidden, sublayers.values[layer])

    stubs = {
        block.name: Instead(sublayers.dense.blocks[block.layer], skipping(block.layer))
        for block in sublayers.anatomy.blocks
    }
    # No block reads them. Transformers warns if a text begins with the token that pads.
    token = int(model.config.get_text_config(decoder=True).pad_token_id == 0)
    ids = torch.full((len(states), 1), token, device=states.device)
    logits = graph_with(model, stubs)(input_ids=ids, use_cache=False).logits[:, -1]
    assert isinstance(logits, Tensor)
    return logits


@dataclass(slots=True)
class _Streams:
    """The residual stream after every sublayer at the last token of one model's run, (d,) each."""

    sublayers: Sublayers
    side: ModelSide
    beside: ModelSide | None = None
    """The other model, whose sublayers read the same input."""
    own: dict[Part, Tensor] = field(default_factory=dict)
    """As the run computes it."""
    alone: dict[Part, Tensor] = field(default_factory=dict)
    """The input of the sublayer and what it adds to it. In a block whose sublayers are parallel, its MLP's is not the
    run's own stream."""
    beside_alone: dict[Part, Tensor] = field(default_factory=dict)

    def read(self, track: CachedModel, context: Sequence[int]) -> NextTokenOutput:
        """Reads the context with every block watched. Raises `Failure` if the answer is not finite."""
        watched = {block.name: self._watching(block.layer) for block in self.sublayers.anatomy.blocks}
        with replacing_forward(track.model, watched):
            output = track.read([context])
        track.join()
        if not output.finite:
            which = "dense" if self.beside else "pruned"
            raise Failure(
                "Not finite",
                f"The {which} model computes NaN or infinity here, first in {track.first_nonfinite([context])}.",
                "Explain an earlier step, or restore that module.",
            )
        return output

    def _watching(self, layer: int) -> Callable[[Forward], Forward]:
        attention, mlp = Part("attn", layer), Part("mlp", layer)

        def watching(forward: Forward) -> Forward:
            def watched(*args: object, **kwargs: object) -> object:
                call = Call(args, kwargs)
                if call.hidden.shape[:2] != (1, 1):
                    return forward(*args, **kwargs)  # the prompt
                after_attention = self._alone(attention, call)
                if layer in self.sublayers.parallel:
                    self._alone(mlp, call)
                else:
                    self._alone(mlp, call, after_attention)
                output = forward(*args, **kwargs)
                self.own[attention], self.own[mlp] = after_attention[0, -1], first_of(output)[0, -1]
                return output

            return watched

        return watching

    def _alone(self, part: Part, call: Call, hidden: Tensor | None = None) -> Tensor:
        """The stream after a sublayer, here and beside, on one input."""

        def half(side: ModelSide) -> HalfBlock:
            return (side.attn if part.kind == SUBLAYERS[0] else side.mlp)[part.layer]

        with _unchanged(call):
            found = half(self.side)(call, hidden)
        self.alone[part] = found[0, -1]
        if self.beside is not None:
            with _unchanged(call):
                self.beside_alone[part] = half(self.beside)(call, hidden)[0, -1]
        return found


@contextmanager
def _unchanged(call: Call) -> Iterator[None]:
    """Puts a cache back as it was: what is read meanwhile makes new tensors of keys and values."""
    cache = cache_in(call)
    held = [dict(layer.__dict__) for layer in cache.layers] if cache is not None else []
    try:
        yield
    finally:
        if cache is not None:
            del cache.layers[len(held) :]
            for layer, before in zip(cache.layers, held, strict=True):
                layer.__dict__.clear()
                layer.__dict__.update(before)
