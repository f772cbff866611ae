"""Measures at one step how far every sublayer is from the dense one: on the same input, and as it has accumulated.

Both models read the step's last token with the caches that stepping has filled, so an exact copy differs in nothing.
The pruned sublayers also read the dense model's input and cache, beside the dense run; they leave no trace in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.explain.graphs import Instead, cache_in, graph_with, output_of
from probes.explain.row_figures import ComparedRow, compare_plainly, compare_rows
from probes.explain.sublayers import HalfBlock, ModelSide, Sublayers
from probes.explain.unaligned import Unaligned
from probes.models.hooks import Call, Forward, first_of, replacing_forward
from probes.schema.errors import Failure
from probes.schema.explanation import LayerFigures, Layers, LensToken
from probes.schema.part import SUBLAYERS, Part
from probes.stepping.cached_model import CachedModel, NextTokenOutput


@torch.inference_mode()
def measure_layers(
    dense: CachedModel,
    pruned: CachedModel,
    context: Sequence[int],
    sublayers: Sublayers | Unaligned,
    *,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    piece: Callable[[int], str] = str,
    streams: tuple[Streams, Streams] | None = None,
) -> Layers:
    """All sublayers at the step that follows `context`, which both models read, unless `streams` are of it already.

    Of models that are not aligned: the dense model's sublayers beside their counterparts, without same-input figures.
    Distributions are over the ids below `vocabulary`. Raises `Failure` if a model computes NaN or infinity.
    """
    of_dense, of_pruned = streams or read_streams(dense, pruned, context, sublayers)
    parts = of_dense.sublayers.parts
    beside = sublayers.counterparts if isinstance(sublayers, Unaligned) else parts

    def states(source: Mapping[Part, Tensor], of: Sequence[Part] = parts) -> Tensor:
        return torch.stack([source[part] for part in of])

    def read(source: Streams, reader: CachedModel, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return hidden, read_out(source.sublayers, reader.model, hidden)[:, :vocabulary]

    here = read(of_dense, dense, states(of_dense.own))
    there = read(of_pruned, pruned, states(of_pruned.own, beside))
    same_input: list[ComparedRow] | None = None
    if isinstance(sublayers, Unaligned):
        (accumulated,) = compare_rows(*here, there, temperature=temperature)
    else:
        # On the same input, nothing differs but the sublayer.
        other = read(of_dense, dense, states(of_dense.beside_alone))
        if sublayers.parallel:
            (accumulated,) = compare_rows(*here, there, temperature=temperature)
            alone = read(of_dense, dense, states(of_dense.alone))
            (same_input,) = compare_rows(*alone, other, temperature=temperature)
        else:
            accumulated, same_input = compare_rows(*here, there, other, temperature=temperature)
    # The run's own answer, whose last bits a read-out of many rows may not have.
    z, z2 = (one.output.logits[:, :vocabulary] for one in (of_dense, of_pruned))
    (accumulated[-1],) = compare_plainly(here[0][-1:], z, there[0][-1:], z2, temperature)

    def lens(top: tuple[int, float]) -> LensToken:
        return LensToken(top[0], piece(top[0]), top[1])

    alike: Sequence[ComparedRow | None] = same_input or [None] * len(parts)
    return Layers(
        tuple(
            LayerFigures(
                part.layer, part.kind, one.figures if one else None, row.figures, lens(row.top), lens(row.top_pruned)
            )
            for part, one, row in zip(parts, alike, accumulated, strict=True)
        )
    )


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


@torch.inference_mode()
def read_streams(
    dense: CachedModel, pruned: CachedModel, context: Sequence[int], sublayers: Sublayers | Unaligned
) -> tuple[Streams, Streams]:
    """The streams of the dense and of the pruned run at the step that follows `context`. Raises `Failure` if a model
    computes NaN or infinity."""
    if isinstance(sublayers, Unaligned):
        here = Streams("dense", sublayers.dense, sublayers.dense.dense)
        there = Streams("pruned", sublayers.pruned, sublayers.pruned.dense)
    else:
        here = Streams("dense", sublayers, sublayers.dense, beside=sublayers.beside)
        there = Streams("pruned", sublayers, sublayers.pruned)
    here.read(dense, context)
    there.read(pruned, context)
    return here, there


@dataclass(slots=True)
class Streams:
    """The residual stream after every sublayer at the last token of one model's run, (d,) each."""

    name: str
    """"dense" or "pruned"."""
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
    entered: dict[int, Tensor] = field(default_factory=dict)
    """The input of every block."""
    ends: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """The input and the output of the final norm and of the head, by path."""
    output: NextTokenOutput = field(init=False)
    """The run's answer."""

    def read(self, track: CachedModel, context: Sequence[int]) -> None:
        """Reads the context with every block watched. Raises `Failure` if the answer is not finite."""
        anatomy = self.sublayers.anatomy
        watched = {block.name: self._watching(block.layer) for block in anatomy.blocks}
        watched |= {path: self._watching_end(path) for path in (anatomy.final_norm, anatomy.head) if path}
        with replacing_forward(track.model, watched):
            output = track.read([context])
        track.join()
        if not output.finite:
            raise Failure(
                "Not finite",
                f"The {self.name} model computes NaN or infinity here, first in {track.first_nonfinite([context])}.",
                "Explain an earlier step, or restore that module.",
            )
        self.output = output

    def _watching_end(self, path: str) -> Callable[[Forward], Forward]:
        def watching(forward: Forward) -> Forward:
            def watched(*args: object, **kwargs: object) -> object:
                output = forward(*args, **kwargs)
                self.ends[path] = _last(Call(args, kwargs).hidden), _last(first_of(output))
                return output

            return watched

        return watching

    def _watching(self, layer: int) -> Callable[[Forward], Forward]:
        attention, mlp = Part("attn", layer), Part("mlp", layer)

        def watching(forward: Forward) -> Forward:
            def watched(*args: object, **kwargs: object) -> object:
                call = Call(args, kwargs)
                if call.hidden.shape[:2] != (1, 1):
                    return forward(*args, **kwargs)  # the prompt
                self.entered[layer] = call.hidden[0, -1]
                if layer in self.sublayers.parallel:
                    self._read_parallel(layer, call)
                    output = forward(*args, **kwargs)
                    self.own[attention], self.own[mlp] = self.alone[attention], first_of(output)[0, -1]
                    return output
                with _unchanged(call):
                    self._read_beside(attention, call, call.hidden)
                middle = self.side.attn[layer](call)  # fills the cache, as the whole block would
                self._read_beside(mlp, call, middle)
                hidden = self.side.mlp[layer](call, middle)
                self.own[attention], self.own[mlp] = self.alone[attention], self.alone[mlp] = (
                    middle[0, -1],
                    hidden[0, -1],
                )
                return output_of(hidden, self.sublayers.values[layer])

            return watched

        return watching

    def _read_parallel(self, layer: int, call: Call) -> None:
        """The stream after each of two sublayers that read the block's input."""
        for kind in SUBLAYERS:
            part = Part(kind, layer)
            with _unchanged(call):
                self.alone[part] = _half(self.side, part)(call)[0, -1]
            with _unchanged(call):
                self._read_beside(part, call, call.hidden)

    def _read_beside(self, part: Part, call: Call, hidden: Tensor) -> None:
        """The stream after the other model's sublayer on the same input."""
        if self.beside is not None:
            self.beside_alone[part] = _half(self.beside, part)(call, hidden)[0, -1]


def _half(side: ModelSide, part: Part) -> HalfBlock:
    return (side.attn if part.kind == SUBLAYERS[0] else side.mlp)[part.layer]


def _last(states: Tensor) -> Tensor:
    """The last token's of one row, (d,). Some architectures flatten rows and tokens."""
    return states.flatten(0, -2)[-1]


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
