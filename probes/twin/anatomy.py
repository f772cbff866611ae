"""Finds the parts of any causal language model by structure: blocks, attention, MLP, final norm, head, matrices.

There is no table of class names. The blocks are the largest list of modules that text runs through on its way to the LM
head. The module that takes an attention mask is the attention; the other modules with matrices in a block are its MLP,
one module or loose layers. Towers for pictures or sound, and blocks that only they feed, are left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from probes.models.devices import input_device
from probes.models.kv_cache import is_mixer
from probes.schema.errors import BadInput
from probes.schema.part import BLOCK, Part
from probes.twin.experts import routing
from probes.twin.text_path import aside, entered

_NAMED = 3
"""How many modules a sentence names."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """One prunable weight matrix."""

    name: str
    """Module path in the model: "model.layers.3.mlp.up_proj"."""
    layer: int
    sublayer: str
    """"attn", "mlp", or "" if it belongs to neither."""
    transposed: bool
    """True if the weight is stored (inputs, outputs), as in GPT-2's Conv1D, and not (outputs, inputs)."""


@dataclass(frozen=True, slots=True)
class Sublayer:
    """The modules of one attention or MLP, which reads the residual stream and adds to it."""

    part: Part
    modules: tuple[str, ...]
    """One module, or the loose layers in order (OPT's fc1, fc2); the last one's output joins the stream."""
    beside: bool = False
    """True if there are several modules that read the same input and all add to the stream, such as an MLP beside
    experts."""


@dataclass(frozen=True, slots=True)
class Block:
    """One layer of the model."""

    layer: int
    name: str
    attn: Sublayer | None
    mlp: Sublayer | None
    matrices: tuple[Matrix, ...]
    mixers: tuple[str, ...] = ()
    """Modules that carry a state from token to token, neither attention nor MLP."""

    @property
    def part(self) -> Part:
        return Part(BLOCK, self.layer)

    def sublayer(self, kind: str) -> Sublayer | None:
        return self.attn if kind == "attn" else self.mlp


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a model, as module paths."""

    blocks: tuple[Block, ...]
    final_norm: str
    """"" if there is none."""
    head: str
    unreachable: tuple[str, ...]
    """Weights in the blocks that can't be pruned one by one, such as the stacked experts of a mixture."""
    aside: tuple[str, ...] = ()
    """Modules that text never runs through: towers for pictures or sound, blocks that read from them."""

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence that names the modules aside, if there are any."""
        if not self.aside:
            return ()
        listed = ", ".join(self.aside[:_NAMED]) + (f" and {len(self.aside) - _NAMED} more" * (len(self.aside) > _NAMED))
        return (f"Text does not run through {listed}: nothing there is pruned, dropped, compared or counted.",)

    def block(self, layer: int) -> Block | None:
        """The block of this number; None if there is none, or text does not run through it."""
        return next((block for block in self.blocks if block.layer == layer), None)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        return tuple(matrix for block in self.blocks for matrix in block.matrices)

    @property
    def sublayers(self) -> tuple[Sublayer, ...]:
        return tuple(s for block in self.blocks for s in (block.attn, block.mlp) if s is not None)


def dissect(model: PreTrainedModel) -> Anatomy:
    """The anatomy of a causal LM. Raises `BadInput` if its blocks or its head can't be found.

    The model reads a few tokens, to find the modules that run and their inputs, if it has several lists of modules, a
    list of different modules, or blocks with several possible MLPs.
    """
    names = {module: name for name, module in model.named_modules()}
    head = model.get_output_embeddings()
    found = {name: module for name, module in model.named_modules() if _is_stack(module)}
    stacks = {name: stack for name, stack in found.items() if not any(name.startswith(f"{other}.") for other in found)}
    plain = len(stacks) == 1 and all(len({type(block) for block in stack}) == 1 for stack in stacks.values())
    plain = plain and not any(_has_several(block) for stack in stacks.values() for block in stack)
    ran = entered(model, probe_ids(model)) if isinstance(head, nn.Module) and stacks and not plain else None
    running = {
        path: [f"{path}.{name}" for name, _ in stack.named_children() if ran is None or f"{path}.{name}" in ran]
        for path, stack in stacks.items()
    }
    if not isinstance(head, nn.Module) or not any(running.values()):
        raise BadInput(
            "Unknown anatomy",
            f"No {'LM head' if any(running.values()) else 'list of blocks'} was found in {type(model).__name__}.",
            "Use a decoder-only language model.",
        )
    path = max(running, key=lambda path: sum(len(list(model.get_submodule(name).modules())) for name in running[path]))
    blocks = tuple(_block(name, model.get_submodule(name), ran or {}) for name in running[path])
    known = {matrix.name for block in blocks for matrix in block.matrices}
    unreachable = tuple(
        f"{block.name}.{name}" for block in blocks for name, p in model.get_submodule(block.name).named_parameters()
        if p.dim() >= 2 and f"{block.name}.{name}".removesuffix(".weight") not in known
        and not _is_filter(model.get_submodule(block.name), name)
    )  # fmt: skip
    idle = [f"{path}.{name}" for path, stack in stacks.items() for name, _ in stack.named_children()]
    idle = [name for name in idle if ran is not None and name not in ran]
    return Anatomy(
        blocks, _final_norm(model, path, stacks[path]), names[head], unreachable, aside(ran, idle) if ran else ()
    )


def weight(model: nn.Module, matrix: Matrix) -> Tensor:
    """A matrix as (outputs, inputs), however it is stored: a view, so writing to it writes to the model."""
    stored = model.get_submodule(matrix.name).weight
    assert isinstance(stored, Tensor)
    return stored.t() if matrix.transposed else stored


def _is_stack(module: nn.Module) -> TypeGuard[nn.ModuleList]:
    return (
        isinstance(module, nn.ModuleList)
        and any(_is_matrix(inner) for child in module for inner in child.modules())
        and not any(_is_matrix(child) for child in module)
    )


def _is_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(module, nn.Linear | Conv1D) and isinstance(weight, Tensor) and weight.dim() == 2


def _is_filter(block: nn.Module, parameter: str) -> bool:
    """Is the parameter a convolution or a state matrix of a state-space model, and so no matrix between features?"""
    owner, _, name = parameter.rpartition(".")
    return isinstance(block.get_submodule(owner), nn.Conv1d) or name in ("A_log", "D")


def _block(name: str, block: nn.Module, ran: Mapping[str, Tensor | None]) -> Block:
    layer, parts = int(name.rpartition(".")[2]), _parts(block)
    attention, rest, loose, mixers = ([f"{name}.{child}" for child in parts[kind]] for kind in _KINDS)
    attn = Sublayer(Part("attn", layer), tuple(attention)) if len(attention) == 1 else None
    read = [ran.get(path) for path in rest]
    if len(rest) > 1 and not loose and read[0] is not None and all(one is read[0] for one in read):
        mlp: Sublayer | None = Sublayer(Part("mlp", layer), tuple(rest), beside=True)
    else:
        modules = rest if len(rest) == 1 else loose if len(loose) > 1 and not rest else []
        mlp = Sublayer(Part("mlp", layer), tuple(modules)) if modules else None
    return Block(layer, name, attn, mlp, tuple(_matrices(name, layer, block, attn, mlp)), tuple(mixers))


_KINDS = ("attention", "rest", "loose", "mixers")


def _parts(block: nn.Module) -> dict[str, list[str]]:
    """A block's children that hold matrices, by kind: attention, loose layers, mixers, and the rest, mostly an MLP."""
    parts: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for name, child in block.named_children():
        if _is_matrix(child):
            parts["loose"].append(name)
        elif is_mixer(child):
            parts["mixers"].append(name)
        elif _is_attention(child):
            parts["attention"].append(name)
        elif any(p.dim() >= 2 for p in child.parameters()):
            parts["rest"].append(name)
    return parts


def _has_several(block: nn.Module) -> bool:
    parts = _parts(block)
    return len(parts["rest"]) > 1 and not parts["loose"]


def _matrices(name: str, layer: int, block: nn.Module, attn: Sublayer | None, mlp: Sublayer | None) -> Iterator[Matrix]:
    linear = [inner for inner, module in block.named_modules() if _is_matrix(module)]
    attention = [path.removeprefix(f"{name}.") for path in (attn.modules if attn else ())]
    routers = routing(block, linear, attention)
    for inner in linear:
        if inner in routers:
            continue
        module = block.get_submodule(inner)
        path = f"{name}.{inner}"
        owners = (s for s in (attn, mlp) if s and any(path == m or path.startswith(f"{m}.") for m in s.modules))
        owner = next(owners, None)
        yield Matrix(path, layer, owner.part.kind if owner else "", isinstance(module, Conv1D))


def _is_attention(module: nn.Module) -> bool:
    return "attention_mask" in inspect.signature(module.forward).parameters


def _final_norm(model: PreTrainedModel, path: str, stack: nn.Module) -> str:
    """The norm beside the list of blocks."""
    parent_path = path.rpartition(".")[0]
    parent = model.get_submodule(parent_path)
    norms = [
        name
        for name, child in parent.named_children()
        if child is not stack and "norm" in type(child).__name__.lower() and "embed" not in name
    ]
    return f"{parent_path}.{norms[-1]}" if norms else ""


def probe_ids(model: PreTrainedModel) -> Tensor:
    """A few token ids, (1, 4), on the model's device, for test passes."""
    rows = next(model.get_input_embeddings().parameters()).shape[0]
    return torch.arange(1, 5, device=input_device(model)).unsqueeze(0) % rows
