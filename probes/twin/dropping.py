"""Drops sublayers and blocks from a module graph, after finding the modules that must be replaced in this architecture.

The replacement of a sublayer must return the same kind of values as the sublayer. A norm between the sublayer and the
residual stream may add its own bias, and an architecture may ignore the replacement. So everything is dropped once on a
few tokens as a test, and every block must then return its input.

Example: the attention of a block of OLMo-2, which has its norms after its sublayers:

    h = x + post_attention_layernorm(self_attn(x))
    y = h + post_feedforward_layernorm(mlp(h))

`self_attn` is replaced by a `PassThrough` that returns zeros, in a tuple of two as the attention does. The zeros enter
`post_attention_layernorm`. An RMSNorm of zeros is zero, so h = x; but a LayerNorm of zeros is its bias, which would be
added at every token. Therefore the norm that reads the zeros is replaced too, by an `Identity`. With the MLP replaced
in the same way, y = x: the block returns its input, so its attention and its MLP can be dropped. Gemma-2 differs only
by a norm before each sublayer, which reads the stream and not the zeros, and stays.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from probes.models.hooks import Call, entering, first_of, leaving
from probes.models.kv_cache import count_as_read
from probes.schema.part import Part
from probes.twin.anatomy import Anatomy, Block, Sublayer, probe_ids

_MIXER = "mixer"

Replacements = Mapping[Part, Mapping[str, nn.Module]]
"""By part: the modules that replace others if it is dropped, by path."""


class PassThrough(nn.Module):
    """Replaces a sublayer and adds nothing to the stream, or replaces a block and returns its input."""

    def __init__(self, replaced: nn.Module, values: int | None, *, passes: bool) -> None:
        """`values` is the number of values that the replaced module returns; None if it returns a tensor."""
        super().__init__()
        self.train(replaced.training)
        self._values = values
        self._passes = passes
        # Some architectures (BLOOM) pass the residual in and expect the sum back.
        names = list(inspect.signature(replaced.forward).parameters)
        self._residual = names.index("residual") if "residual" in names else None
        self._cached = sorted({inner.__dict__["layer_idx"] for inner in replaced.modules() if _is_numbered(inner)})
        # The model may read attributes of the layer. It is not a child module, so its weights are not in this graph.
        self.__dict__["_replaced"] = replaced

    def __getattr__(self, name: str) -> Any:
        """Plain attributes are the replaced module's. Its tensors and children are hidden, because they are out of
        use."""
        found = None if name.startswith("_") else getattr(self.__dict__["_replaced"], name, None)
        if found is None or isinstance(found, (Tensor, nn.Module)):
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor | None, ...]:
        hidden = Call(args, kwargs).hidden
        cache = next((value for value in (*args, *kwargs.values()) if isinstance(value, Cache)), None)
        if cache is not None:
            positions = kwargs.get("position_ids")  # models with several streams have hidden states of other shapes
            read = hidden if hidden.dim() == 3 or not isinstance(positions, Tensor) else positions
            for layer in self._cached:
                count_as_read(cache, layer, read)
        out: Tensor
        if self._passes:
            out = hidden
        elif self._residual is not None:
            out = kwargs["residual"] if "residual" in kwargs else args[self._residual]
        else:
            out = torch.zeros_like(hidden)
        return out if self._values is None else (out, *[None] * (self._values - 1))


def silent_layers(model: nn.Module) -> frozenset[int]:
    """The layers of a cache in which this model only counts tokens, because what would write there is dropped."""
    return frozenset(layer for module in model.modules() if isinstance(module, PassThrough) for layer in module._cached)


def replacements(model: PreTrainedModel, anatomy: Anatomy) -> Replacements:
    """The modules to replace to drop each sublayer and block; parts that this architecture can't drop are missing.

    Runs the model on four tokens, four times, and then restores it.
    """
    values = _values_returned(model, anatomy)
    sublayers = {one.part: _silent(model, one, values) for block in anatomy.blocks for one in _adding(block)}
    _replace_norms(model, anatomy, sublayers)
    blocks = {
        block.part: {block.name: PassThrough(module, values.get(block.name), passes=True)}
        for block in anatomy.blocks
        for module in (model.get_submodule(block.name),)
    }
    found: dict[Part, Mapping[str, nn.Module]] = {}
    for group in (sublayers, blocks):
        layers = _layers_that_pass(model, anatomy, group)
        found |= {part: modules for part, modules in group.items() if part.layer in layers and part.kind != _MIXER}
    return found


def replace_modules(model: nn.Module, modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Sets the modules at their paths, and returns those that were there."""
    before: dict[str, nn.Module] = {}
    for path, module in modules.items():
        parent, _, name = path.rpartition(".")
        holder = model.get_submodule(parent)
        before[path] = holder.get_submodule(name)
        setattr(holder, name, module)
    return before


def _adding(block: Block) -> Iterator[Sublayer]:
    """Everything in a block that adds to the stream. Mixers are never dropped, but output zeros during the test."""
    yield from (sublayer for sublayer in (block.attn, block.mlp) if sublayer is not None)
    if block.mixers:
        yield Sublayer(Part(_MIXER, block.layer), block.mixers, beside=True)


def _silent(model: nn.Module, sublayer: Sublayer, values: Mapping[str, int | None]) -> dict[str, nn.Module]:
    """The replacements of a sublayer's modules. If they are a sequence, the last outputs zeros and the others do
    nothing."""
    silent = sublayer.modules if sublayer.beside else sublayer.modules[-1:]
    passing: dict[str, nn.Module] = {path: nn.Identity().eval() for path in sublayer.modules if path not in silent}
    return passing | {path: PassThrough(model.get_submodule(path), values.get(path), passes=False) for path in silent}


def _values_returned(model: PreTrainedModel, anatomy: Anatomy) -> dict[str, int | None]:
    """How many values each block and sublayer returns, None for a bare tensor; modules that never run are missing."""
    values: dict[str, int | None] = {}

    def see(path: str, _call: Call, output: object) -> None:
        values[path] = len(output) if isinstance(output, tuple) else None

    sublayers = [path for sublayer in anatomy.sublayers for path in sublayer.modules]
    blocks = [path for block in anatomy.blocks for path in (block.name, *block.mixers)]
    with leaving(model, [*blocks, *sublayers], see, idle=True):
        _read_a_few(model)
    return values


def _replace_norms(model: PreTrainedModel, anatomy: Anatomy, made: Mapping[Part, dict[str, nn.Module]]) -> None:
    """Adds replacements of the norms that read a dropped sublayer's zeros: such a norm may still add a bias."""
    owners = {sublayer.modules[-1]: sublayer.part for sublayer in anatomy.sublayers}
    zeros: list[tuple[Tensor, Part]] = []

    def see(path: str, call: Call, output: object) -> None:
        if path in owners:
            zeros.append((first_of(output), owners[path]))
            return
        read = [owner for zero, owner in zeros if zero.data_ptr() == call.hidden.data_ptr()]
        norm = all(parameter.dim() < 2 for parameter in model.get_submodule(path).parameters())
        if read and norm and not bool(call.hidden.any()):
            made[read[-1]][path] = nn.Identity().eval()

    dropped = {part: dict(made[part]) for part in owners.values()}
    with _dropped(model, dropped), leaving(model, [*owners, *_norms(model, anatomy)], see, idle=True):
        _read_a_few(model)


def _layers_that_pass(model: PreTrainedModel, anatomy: Anatomy, dropped: Replacements) -> set[int]:
    """The layers whose blocks return their input, or a norm of it, while these parts are dropped."""
    replaced = {path for modules in dropped.values() for path in modules}
    owner = {
        path: block.name
        for block in anatomy.blocks
        if block.name not in replaced
        for path in _norms(model, anatomy, block.layer)
    }
    layers = {block.name: block.layer for block in anatomy.blocks}
    ran: set[str] = set()
    stream: dict[str, list[Tensor]] = {}
    passed: set[int] = set()

    def enter(path: str, call: Call) -> None:
        stream[path] = [call.hidden]

    def leave(path: str, call: Call, output: object) -> None:
        ran.add(path)
        if path in layers:
            if _is_one_of(first_of(output), stream[path]):
                passed.add(layers[path])
        elif path not in replaced and _is_one_of(call.hidden, stream[owner[path]]):
            stream[owner[path]].append(first_of(output))

    try:
        with (
            _dropped(model, dropped),
            entering(model, layers, enter, idle=True),
            leaving(model, {*replaced, *owner, *layers}, leave, idle=True),
        ):
            _read_a_few(model)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # noqa: BLE001 - an architecture may raise anything if it needs these parts
        return set()
    ignored = {part.layer for part, modules in dropped.items() if not modules.keys() <= ran}
    return passed - ignored


def _norms(model: nn.Module, anatomy: Anatomy, layer: int | None = None) -> list[str]:
    """The child modules of the blocks that are in no sublayer."""
    blocks = [block for block in anatomy.blocks if layer in (None, block.layer)]
    taken = {path for sublayer in anatomy.sublayers for path in sublayer.modules}
    children = (
        f"{block.name}.{name}" for block in blocks for name, _ in model.get_submodule(block.name).named_children()
    )
    return [path for path in children if path not in taken]


@contextmanager
def _dropped(model: nn.Module, modules: Replacements) -> Iterator[None]:
    """Drops these parts in its block."""
    before = replace_modules(model, {path: module for part in modules.values() for path, module in part.items()})
    try:
        yield
    finally:
        replace_modules(model, before)


@torch.inference_mode()
def _read_a_few(model: PreTrainedModel) -> None:
    model(input_ids=probe_ids(model), use_cache=False)


def _is_numbered(module: nn.Module) -> bool:
    return isinstance(module.__dict__.get("layer_idx"), int)


def _is_one_of(state: Tensor, known: Sequence[Tensor]) -> bool:
    """Does the state equal one of these in another shape (OPT flattens its tokens)?"""
    return any(state.numel() == other.numel() and torch.equal(state.flatten(), other.flatten()) for other in known)
