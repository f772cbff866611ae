"""Takes sublayers and blocks out of a module graph, and finds out first what that needs in this architecture.

What stands in a sublayer's place must return what the sublayer returns, in shape and in meaning; a norm between the
sublayer and the residual stream may add a bias of its own; and an architecture may ignore what was put there. So
before anything is dropped, everything is dropped once on a few tokens, and every block must then hand on what it got.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from probes.models.kv_cache import skip
from probes.schema.part import BLOCK, SUBLAYERS, Part
from probes.twin.anatomy import Anatomy, Sublayer, probe_ids


class PassThrough(nn.Module):
    """Stands where a sublayer was and adds nothing, or where a block was and hands its input on."""

    def __init__(self, replaced: nn.Module, values: int | None, *, passes: bool) -> None:
        """`values` is how many the replaced module returns, None for a bare tensor."""
        super().__init__()
        self._values = values
        self._passes = passes
        # Some architectures (BLOOM) hand the residual in and expect the sum back.
        names = list(inspect.signature(replaced.forward).parameters)
        self._residual = names.index("residual") if "residual" in names else None
        self._cached = sorted({inner.__dict__["layer_idx"] for inner in replaced.modules() if _is_numbered(inner)})
        # The model may ask what kind of layer this is. No child of this module: its weights are not in this graph.
        self.__dict__["_replaced"] = replaced

    def __getattr__(self, name: str) -> Any:
        """Plain attributes are the replaced module's; its tensors and children are not: they are out of use."""
        found = None if name.startswith("_") else getattr(self.__dict__["_replaced"], name, None)
        if found is None or isinstance(found, (Tensor, nn.Module)):
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor | None, ...]:
        hidden = _hidden(args, kwargs)
        cache = next((value for value in (*args, *kwargs.values()) if isinstance(value, Cache)), None)
        if cache is not None:
            positions = kwargs.get("position_ids")  # several streams' hidden states are laid out in many ways
            for layer in self._cached:
                skip(cache, layer, hidden if hidden.dim() == 3 or not isinstance(positions, Tensor) else positions)
        out: Tensor
        if self._passes:
            out = hidden
        elif self._residual is not None:
            out = kwargs["residual"] if "residual" in kwargs else args[self._residual]
        else:
            out = torch.zeros_like(hidden)
        return out if self._values is None else (out, *[None] * (self._values - 1))


Replacements = Mapping[Part, Mapping[str, nn.Module]]
"""For each sublayer and block, the modules to put in to drop it, by module path."""
_See = Callable[[str, Tensor, object], None]
"""Gets a module's path, the hidden state that entered it, and what it returned."""


def replacements(model: PreTrainedModel, anatomy: Anatomy) -> Replacements:
    """What to put where to drop each sublayer and block; those that this architecture can't drop are missing.

    Runs the model on four tokens, four times, and leaves it as it was.
    """
    values = _returned(model, anatomy)
    made: dict[Part, dict[str, nn.Module]] = {}
    for block in anatomy.blocks:
        silent = PassThrough(model.get_submodule(block.name), values.get(block.name), passes=True)
        made[block.part] = {block.name: silent}
        for sublayer in (block.attn, block.mlp):
            if sublayer is not None:
                made[sublayer.part] = _in_place_of(model, sublayer, values)
        if block.mixers:  # never dropped, but silent while it is looked at whether the others add nothing
            mixers = Sublayer("mixer", block.layer, block.mixers, beside=True)
            made[mixers.part] = _in_place_of(model, mixers, values)
    _quiet_norms(model, anatomy, made)
    obeyed = {
        kinds: _layers_that_pass(model, anatomy, {part: made[part] for part in made if part.kind in kinds})
        for kinds in ((*SUBLAYERS, "mixer"), (BLOCK,))
    }
    passing = {Part(kind, layer) for kinds, layers in obeyed.items() for kind in kinds for layer in layers}
    return {part: modules for part, modules in made.items() if part in passing and part.kind != "mixer"}


def replace_modules(model: nn.Module, modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Sets the modules at their paths, and gives what stood there."""
    before: dict[str, nn.Module] = {}
    for path, module in modules.items():
        parent, _, name = path.rpartition(".")
        holder = model.get_submodule(parent)
        before[path] = holder.get_submodule(name)
        setattr(holder, name, module)
    return before


def _in_place_of(model: nn.Module, sublayer: Sublayer, values: Mapping[str, int | None]) -> dict[str, nn.Module]:
    silent = sublayer.modules if sublayer.beside else sublayer.modules[-1:]
    passing: dict[str, nn.Module] = {path: nn.Identity() for path in sublayer.modules if path not in silent}
    return passing | {path: PassThrough(model.get_submodule(path), values.get(path), passes=False) for path in silent}


def _returned(model: PreTrainedModel, anatomy: Anatomy) -> dict[str, int | None]:
    """How many values each block and sublayer returns, None for a bare tensor; what never runs is missing."""
    values: dict[str, int | None] = {}

    def see(path: str, _hidden: Tensor, output: object) -> None:
        values[path] = len(output) if isinstance(output, tuple) else None

    within = [path for block in anatomy.blocks for path in (block.name, *block.mixers)]
    _look(model, [*within, *(path for sublayer in anatomy.sublayers for path in sublayer.modules)], see)
    return values


def _quiet_norms(model: PreTrainedModel, anatomy: Anatomy, made: dict[Part, dict[str, nn.Module]]) -> None:
    """Adds the norms that a silenced sublayer's output goes through: a norm of nothing may still be a bias."""
    owners = {sublayer.modules[-1]: sublayer.part for sublayer in anatomy.sublayers}
    silences: list[tuple[Tensor, Part]] = []

    def see(path: str, hidden: Tensor, output: object) -> None:
        if path in owners:
            silences.append((_first(output), owners[path]))
            return
        heard = [owner for silence, owner in silences if silence.data_ptr() == hidden.data_ptr()]
        norm = all(parameter.dim() < 2 for parameter in model.get_submodule(path).parameters())
        if heard and norm and not bool(hidden.any()):
            made[heard[-1]][path] = nn.Identity()

    dropped = {part: dict(made[part]) for part in owners.values()}
    with _dropped(model, dropped):
        _look(model, [*owners, *_beside(model, anatomy)], see)


def _layers_that_pass(model: PreTrainedModel, anatomy: Anatomy, dropped: Replacements) -> set[int]:
    """The layers whose blocks hand on what entered them, or a norm of it, while all of this is dropped."""
    paths = {path for modules in dropped.values() for path in modules}
    within = [block for block in anatomy.blocks if block.name not in paths]
    owner = {path: block.name for block in within for path in _beside(model, anatomy, block.layer)}
    layers = {block.name: block.layer for block in anatomy.blocks}
    asked: set[str] = set()
    stream: dict[str, list[Tensor]] = {}
    passed: set[int] = set()

    def enter(path: str, hidden: Tensor) -> None:
        if path in layers:
            stream[path] = [hidden]

    def see(path: str, hidden: Tensor, output: object) -> None:
        asked.add(path)
        if path in layers:
            if _among(_first(output), stream[path]):
                passed.add(layers[path])
        elif path not in paths and _among(hidden, stream[owner[path]]):
            stream[owner[path]].append(_first(output))

    with _dropped(model, dropped):
        try:
            _look(model, {*paths, *owner, *layers}, see, enter)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever an architecture raises without these parts, it can't do without them
            return set()
    ignored = {part.layer for part, modules in dropped.items() if not modules.keys() <= asked}
    return passed - ignored


def _beside(model: nn.Module, anatomy: Anatomy, layer: int | None = None) -> list[str]:
    """What stands in the blocks beside their sublayers: norms."""
    blocks = [block for block in anatomy.blocks if layer in (None, block.layer)]
    taken = {path for s in anatomy.sublayers for path in s.modules}
    children = (
        f"{block.name}.{name}" for block in blocks for name, _ in model.get_submodule(block.name).named_children()
    )
    return [path for path in children if path not in taken]


@contextmanager
def _dropped(model: nn.Module, modules: Replacements) -> Iterator[None]:
    """While it lasts, all of this is dropped."""
    before = replace_modules(model, {path: module for part in modules.values() for path, module in part.items()})
    try:
        yield
    finally:
        replace_modules(model, before)


def _look(
    model: PreTrainedModel, paths: Iterable[str], see: _See, enter: Callable[[str, Tensor], None] | None = None
) -> None:
    """Runs the model on a few tokens and shows what these modules get, as they get it, and what they return."""

    def before(path: str) -> Callable[..., None]:
        def look(_module: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
            if enter is not None:
                enter(path, _hidden(args, kwargs))

        return look

    def after(path: str) -> Callable[..., None]:
        def look(_module: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object], output: object) -> None:
            see(path, _hidden(args, kwargs), output)

        return look

    with ExitStack() as stack, torch.inference_mode():
        for path in paths:
            module = model.get_submodule(path)
            stack.callback(module.register_forward_pre_hook(before(path), with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(after(path), with_kwargs=True).remove)
        model(input_ids=probe_ids(model), use_cache=False)


def _is_numbered(module: nn.Module) -> bool:
    return isinstance(module.__dict__.get("layer_idx"), int)


def _hidden(args: tuple[object, ...], kwargs: Mapping[str, object]) -> Tensor:
    hidden = args[0] if args else kwargs["hidden_states"]
    assert isinstance(hidden, Tensor)
    return hidden


def _first(output: object) -> Tensor:
    value = output[0] if isinstance(output, tuple) else output
    assert isinstance(value, Tensor)
    return value


def _among(state: Tensor, known: Sequence[Tensor]) -> bool:
    """Equal to one of these, whatever way they are folded (OPT flattens its tokens)."""
    return any(state.numel() == other.numel() and torch.equal(state.flatten(), other.flatten()) for other in known)
