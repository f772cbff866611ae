"""Takes the blocks of two models of one shape apart, so that the attention or the MLP of each can run alone or be
exchanged.

A sublayer alone is its block with the other sublayer dropped: the block then returns its input plus what the sublayer
adds to it, with whatever norms and scales the architecture has around it. In most architectures the MLP reads the
stream that the attention has added to; in some (Falcon, GPT-NeoX, Phi) both read the block's input, and are called
parallel here. Which one a block is, is measured on a few tokens.

Exchanging a sublayer exchanges its modules and the norms that only it reads or that only read it. A norm that both read
goes with the one that runs first; what else a block has goes with the MLP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.aligned import aligned, renumbered
from probes.explain.graphs import graph_with, without_cache
from probes.models.hooks import Call, entering, first_of, leaving
from probes.models.kv_cache import is_recurrent
from probes.schema.errors import BadInput
from probes.schema.part import SUBLAYERS, Part
from probes.twin.anatomy import Anatomy, Block, dissect, probe_ids
from probes.twin.dropping import PassThrough, Replacements, replacements
from probes.twin.sharing import sharing_copy

_SHAPE = ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")


class NotAligned(BadInput):
    """The layers of two models can't be set against one another."""

    def __init__(self, why: str) -> None:
        """`why` names the layer."""
        super().__init__(
            "Nothing to exchange",
            f"The two models' layers can't be set against one another: {why}.",
            "Lenses, accumulated deviation, the split and forks need no exchange.",
        )
        self.why = why


@dataclass(frozen=True, slots=True, eq=False)
class HalfBlock:
    """A block with one of its sublayers; the other one is dropped."""

    block: nn.Module
    reads_cache: bool
    """True if its attention runs."""

    def __call__(self, call: Call, hidden: Tensor | None = None) -> Tensor:
        """The stream after the sublayer, of the call's hidden state or of another one."""
        call = call if self.reads_cache else without_cache(call)
        return first_of(call.with_hidden(self.block, call.hidden if hidden is None else hidden))


@dataclass(frozen=True, slots=True, eq=False)
class ModelSide:
    """One of the two models, with its blocks taken apart."""

    model: PreTrainedModel
    blocks: Mapping[int, nn.Module]
    """By layer. A block that the model has dropped is here one with both its sublayers dropped."""
    attn: Mapping[int, HalfBlock]
    mlp: Mapping[int, HalfBlock]


@dataclass(frozen=True, slots=True, eq=False)
class Sublayers:
    """Two models of one shape, taken apart in the same way."""

    dense: ModelSide
    pruned: ModelSide
    anatomy: Anatomy
    """The dense model's."""
    members: Mapping[Part, tuple[str, ...]]
    """The children of its block that are exchanged with a sublayer, by name within the block."""
    parallel: frozenset[int]
    """The layers whose MLP reads the block's input and not what the attention has added to it."""
    values: Mapping[int, int | None]
    """How many values each block returns, None for a bare tensor."""
    beside: ModelSide
    """The pruned side, to be read with the dense model's cache."""
    alignment: str = ""
    """A sentence, if the pruned model has fewer layers than the dense one."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every sublayer, in the order of the stream."""
        return tuple(Part(kind, block.layer) for block in self.anatomy.blocks for kind in SUBLAYERS)

    @property
    def attention(self) -> Mapping[int, str]:
        """By layer, the attention's name within its block."""
        return {block.layer: block.attn.modules[0].rpartition(".")[2] for block in self.anatomy.blocks if block.attn}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of the figures must know."""
        found = [*self.anatomy.notes, *filter(None, [self.alignment])]
        if self.parallel:
            found.append(
                "Attention and MLP of a block read the same input here: the input of an MLP is that of its block."
            )
        if len(self.anatomy.blocks) == 1:
            found.append("The model has one layer, so its lens is its output.")
        return tuple(found)


def take_apart(dense: PreTrainedModel, pruned: PreTrainedModel) -> Sublayers:
    """Both models' sublayers. A pruned model with fewer layers is taken as one with dropped blocks, if its weights show
    which; `Sublayers.pruned.model` is then a deeper graph of it. Raises `BadInput` if sublayers can't be told apart,
    `NotAligned` if the models are not of one shape."""
    if is_recurrent(dense):
        raise _inseparable(dense, "it has layers that carry a state from token to token")
    scratch = sharing_copy(dense)
    anatomy = dissect(scratch)
    pruned, alignment = aligned(dense, anatomy, pruned)
    _check_aligned(dense, pruned, anatomy)
    if any(
        hasattr(model.get_submodule(block.name), "_hf_hook") for model in (dense, pruned) for block in anatomy.blocks
    ):
        raise BadInput(
            "Weights elsewhere",
            f"A device map moves the blocks of {type(dense).__name__}, so they can't be taken apart.",
            "Load the model without --device-map.",
        )
    dropped = replacements(scratch, anatomy)
    for block in anatomy.blocks:
        if block.mixers or any(Part(kind, block.layer) not in dropped for kind in SUBLAYERS):
            raise _inseparable(dense, f"layer {block.layer} has no attention and MLP that can run without one another")
    sides = {model: _side(model, dense, anatomy, dropped) for model in (dense, pruned)}
    members, parallel, values = _trace(scratch, sides[dense], anatomy, dropped)
    beside = sides[pruned]
    if alignment:
        blocks = {block.name: renumbered(pruned.get_submodule(block.name), block.layer) for block in anatomy.blocks}
        beside = _side(graph_with(pruned, blocks), dense, anatomy, dropped)
    return Sublayers(sides[dense], sides[pruned], anatomy, members, parallel, values, beside, alignment)


def block_with(block: nn.Module, other: nn.Module, names: Iterable[str]) -> nn.Module:
    """A block in which these children are another block's."""
    return graph_with(block, {name: other.get_submodule(name) for name in names})


def is_dropped(module: nn.Module) -> bool:
    """Was this module put in place of one that is dropped?"""
    return isinstance(module, PassThrough)


def _side(model: PreTrainedModel, dense: PreTrainedModel, anatomy: Anatomy, dropped: Replacements) -> ModelSide:
    blocks, attn, mlp = {}, {}, {}
    for block in anatomy.blocks:
        without = {
            kind: {path.removeprefix(f"{block.name}."): module for path, module in modules.items()}
            for kind in SUBLAYERS
            for modules in (dropped[Part(kind, block.layer)],)
        }
        whole = model.get_submodule(block.name)
        if is_dropped(whole):
            whole = graph_with(dense.get_submodule(block.name), without["attn"] | without["mlp"])
        assert block.attn is not None
        attention = whole.get_submodule(block.attn.modules[0].removeprefix(f"{block.name}."))
        blocks[block.layer] = whole
        attn[block.layer] = HalfBlock(graph_with(whole, without["mlp"]), reads_cache=not is_dropped(attention))
        mlp[block.layer] = HalfBlock(graph_with(whole, without["attn"]), reads_cache=False)
    return ModelSide(model, blocks, attn, mlp)


@torch.no_grad()
def _trace(
    scratch: PreTrainedModel, side: ModelSide, anatomy: Anatomy, dropped: Replacements
) -> tuple[dict[Part, tuple[str, ...]], frozenset[int], dict[int, int | None]]:
    """The modules of each sublayer, which blocks are parallel, and how many values each returns, on a few tokens."""
    members = {
        Part(kind, block.layer): {path.removeprefix(f"{block.name}.") for path in dropped[Part(kind, block.layer)]}
        for block in anatomy.blocks
        for kind in SUBLAYERS
    }
    owners = {path: one.part for one in anatomy.sublayers for path in one.modules}
    names = {
        f"{block.name}.{name}" for block in anatomy.blocks for name, _ in side.blocks[block.layer].named_children()
    }
    layers = {block.name: block for block in anatomy.blocks}
    normed: list[tuple[Tensor, str]] = []
    parallel: set[int] = set()
    values: dict[int, int | None] = {}

    def enter(path: str, call: Call) -> None:
        block = layers[path.rpartition(".")[0]]
        for output, norm in normed:
            taken = any(norm in members[Part(kind, block.layer)] for kind in SUBLAYERS)
            if output.data_ptr() == call.hidden.data_ptr() and not taken:
                members[owners[path]].add(norm)

    def leave(path: str, call: Call, output: object) -> None:
        if path in layers:
            block = layers[path]
            values[block.layer] = len(output) if isinstance(output, tuple) else None
            if _is_parallel(scratch, side, block, call, first_of(output)):
                parallel.add(block.layer)
            normed.clear()
        elif isinstance(output, Tensor):
            normed.append((output, path.rpartition(".")[2]))

    with entering(scratch, owners, enter, idle=True), leaving(scratch, [*names - {*owners}, *layers], leave, idle=True):
        scratch(input_ids=probe_ids(scratch), use_cache=False)
    for block in anatomy.blocks:
        attn, mlp = Part("attn", block.layer), Part("mlp", block.layer)
        rest = [name for name, _ in side.blocks[block.layer].named_children()]
        members[mlp] |= set(rest) - members[attn]
    return {part: tuple(sorted(found)) for part, found in members.items()}, frozenset(parallel), values


def _is_parallel(model: PreTrainedModel, side: ModelSide, block: Block, call: Call, output: Tensor) -> bool:
    """Raises `BadInput` if the block is neither parallel nor one sublayer after the other."""
    after_attention = side.attn[block.layer](call)
    if torch.equal(side.mlp[block.layer](call, after_attention), output):
        return False
    both = after_attention + side.mlp[block.layer](call) - call.hidden
    if torch.allclose(both, output, rtol=1e-3, atol=float(output.abs().max()) * torch.finfo(output.dtype).eps ** 0.5):
        return True
    raise _inseparable(model, f"layer {block.layer} is not the sum of its input, an attention and an MLP")


def _check_aligned(dense: PreTrainedModel, pruned: PreTrainedModel, anatomy: Anatomy) -> None:
    stack = anatomy.blocks[0].name.rpartition(".")[0]
    names = {name for name, _ in pruned.named_modules()}
    here = len(list(dense.get_submodule(stack).children()))
    there = len(list(pruned.get_submodule(stack).children())) if stack in names else 0
    config, other = (model.config.get_text_config(decoder=True) for model in (dense, pruned))
    if type(dense) is not type(pruned):
        why = f"the models are a {type(dense).__name__} and a {type(pruned).__name__}, from layer 0 on"
    elif here != there:
        why = f"layer {min(here, there)} has no counterpart in the {'dense' if there > here else 'pruned'} model"
    elif unlike := next((name for name in _SHAPE if getattr(config, name, None) != getattr(other, name, None)), ""):
        ours, theirs = (getattr(one, unlike, None) for one in (config, other))
        from_layer = _first_unlike(dense, pruned, anatomy)
        why = f"{unlike} is {ours} in the dense and {theirs} in the other model, from layer {from_layer} on"
    else:
        return
    raise NotAligned(why)


def _first_unlike(dense: PreTrainedModel, pruned: PreTrainedModel, anatomy: Anatomy) -> int:
    """The first layer whose tensors have other shapes in the other model."""

    def shapes(model: PreTrainedModel, block: Block) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in model.get_submodule(block.name).state_dict().items()}

    unlike = (block.layer for block in anatomy.blocks if shapes(dense, block) != shapes(pruned, block))
    return next(unlike, anatomy.blocks[0].layer)


def _inseparable(model: PreTrainedModel, why: str) -> BadInput:
    return BadInput(
        "Sublayers can't be told apart",
        f"The attention and the MLP of {type(model).__name__} can't be told apart: {why}.",
        "Step it with `phier run`, or drop whole blocks of it.",
    )
