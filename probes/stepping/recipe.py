"""A model's pass over one token as the list of its tensor operations, without the modules and the Python around them.

A pass over one token is the same operations on tensors of the same shapes every time; only the cache grows. So it is
written down: every operation with its arguments and its output, as torch carries it out. Repeating it carries out the
same operations on the same places in memory: those that only look at other tensors need not be repeated, and nothing is
allocated. All numbers are the same to the bit.

Two passes at different lengths are compared, operation by operation. What differs in anything but the numbers in its
tensors, or chooses by them, has no recipe: `NoRecipe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from probes.stepping.shared_product import SharedProduct

Operation = Callable[..., object]
_aten = torch.ops.aten
_COPIES = {_aten.to.dtype, _aten._to_copy.default, _aten.clone.default, _aten.contiguous.default}
_BY_NUMBERS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.nondeterministic_seeded}
_ONLY_IN_TRAINING = {_aten.dropout.default, _aten.scaled_dot_product_attention.default}
"""They draw numbers, but not when a model is used."""


class NoRecipe(Exception):
    """Why a model's passes can't be written down."""


@dataclass(frozen=True, slots=True, eq=False)
class _Noted:
    """An operation that was carried out."""

    function: Any
    args: tuple[object, ...]
    kwargs: dict[str, object]
    output: object

    @property
    def given(self) -> list[Tensor]:
        return list(_tensors((self.args, self.kwargs)))

    @property
    def made(self) -> list[Tensor]:
        return list(_tensors(self.output))


class WrittenPass(TorchDispatchMode):
    """Everything that torch does in its block: a pass of a model over one token of each row."""

    def __init__(self, ids: Tensor, positions: Tensor, cache: DynamicCache) -> None:
        """What the pass is given: ids and positions, (rows, 1) each, and what was read before. Raises `NoRecipe`."""
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own lacks types
        self.ids, self.positions, self.cache = ids, positions, cache
        self.hidden: Tensor | None = None
        self.logits: Tensor | None = None
        """(rows, 1, d) and (rows, 1, V): its outputs, to be set."""
        self.operations: list[_Noted] = []
        self.before = keys_and_values(cache)
        """The keys and the values of each layer in turn, as they were."""

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        output = func(*args, **(kwargs or {}))
        self.operations.append(_Noted(func, args, kwargs or {}, output))
        return output

    @property
    def length(self) -> int:
        """The tokens that had been read."""
        return int(self.before[0].shape[-2])


class Recipe:
    """The operations of a pass, to be repeated for any token after any tokens. Not for two threads at a time."""

    def __init__(
        self, earlier: WrittenPass, latest: WrittenPass, model: nn.Module, helper: ThreadPoolExecutor | None = None
    ) -> None:
        """From two passes of different length. `helper` takes a part of large products. Raises `NoRecipe`."""
        if latest.hidden is None or latest.logits is None:
            raise NoRecipe("its outputs are not known")
        _compare(earlier, latest, {id(one) for one in (*model.parameters(), *model.buffers())})
        self._ids, self._positions = latest.ids, latest.positions
        self._held: list[Tensor] = []
        """The keys and the values of each layer while a pass is on its way."""
        self._slots = {id(one): slot for slot, one in enumerate(latest.before)}
        self._growing: dict[int, Tensor] = {}
        self._tried: dict[object, Operation | None] = {}
        self._helper = helper
        self._steps = [step for one in latest.operations for step in self._step(one)]
        grown = keys_and_values(latest.cache)
        if [self._slots.get(id(one)) for one in grown] != list(range(len(grown))):
            raise NoRecipe("a layer keeps something other than the keys and values of all tokens")
        places = {_place(one) for one in self._growing.values()}
        if {_place(latest.hidden), _place(latest.logits)} & places:
            raise NoRecipe("its output is a part of its cache")
        self._hidden, self._logits = latest.hidden, latest.logits
        self._rows, self._layers = latest.ids.shape[0], len(latest.cache.layers)
        del self._slots, self._growing, self._tried, self._helper

    def fits(self, cache: DynamicCache) -> bool:
        """Can a pass go on from this cache?"""
        return len(cache.layers) == self._layers

    def __call__(self, last: Sequence[int], position: int, cache: DynamicCache) -> tuple[Tensor, Tensor]:
        """Reads a last token of each row, at this position. Returns what enters the LM head, (rows, 1, d), and the
        logits, (rows, 1, V)."""
        self._ids.copy_(torch.tensor(last)[:, None])
        self._positions.fill_(position)
        self._held[:] = keys_and_values(cache)
        for operation, args, kwargs in self._steps:
            operation(*args, **kwargs)
        layers: list[Any] = list(cache.layers)  # which transformers types too widely
        for layer, keys, values in zip(layers, self._held[::2], self._held[1::2], strict=True):
            layer.keys, layer.values = keys, values
        self._held.clear()
        return self._hidden.clone(), self._logits.clone()

    def _step(self, noted: _Noted) -> Iterator[tuple[Operation, tuple[object, ...], dict[str, object]]]:
        """What is to be repeated of an operation: nothing, or one call."""
        given, made = noted.given, noted.made
        grown = [one for one in given if id(one) in self._slots]
        if _appends(noted) and grown:
            (old, new), slot = given, self._slots[id(given[0])]
            if id(old) in self._growing or grown != [old]:
                raise NoRecipe("it adds to its cache twice")
            self._slots[id(made[0])] = slot
            self._growing[id(made[0])] = made[0]
            yield self._append, (slot, new), {}
            return
        if grown:
            slots = {id(one): self._slots[id(one)] for one in grown}
            yield self._on_cache(noted, slots), (), {}
            return
        if not given:
            return  # the same constant in both passes
        places = {_place(one) for one in given}
        if noted.function._schema.is_mutable:
            raise NoRecipe(f"{noted.function} writes in place")
        if all(_place(one) in places for one in made):
            return  # another look at what is there
        yield self._repeated(noted)

    def _append(self, slot: int, new: Tensor) -> None:
        self._held[slot] = torch.cat([self._held[slot], new], -2)

    def _on_cache(self, noted: _Noted, slots: dict[int, int]) -> Operation:
        """An operation that reads keys or values, whose output always has the same shape."""
        function, held = _python(noted.function) or noted.function, self._held
        places = [(number, slots[id(one)]) for number, one in enumerate(noted.args) if id(one) in slots]
        if len(places) != len(noted.given) - sum(id(one) not in slots for one in noted.given) or len(noted.made) != 1:
            raise NoRecipe(f"{noted.function} uses its cache")
        args, kwargs, output = list(noted.args), noted.kwargs, noted.made[0]
        for number, _ in places:
            args[number] = None

        def operation() -> None:
            for number, slot in places:
                args[number] = held[slot]
            (fresh,) = _tensors(function(*args, **kwargs))
            output.copy_(fresh)
            for number, _ in places:
                args[number] = None

        return operation

    def _repeated(self, noted: _Noted) -> tuple[Operation, tuple[object, ...], dict[str, object]]:
        """The operation with its output in its place."""
        if self._helper and (shared := SharedProduct.of(noted.function, noted.args, noted.output, self._helper)):
            return shared, (), {}
        if noted.function in _COPIES and len(noted.made) == 1:
            return noted.made[0].copy_, (noted.given[0],), {}
        shapes = str([(one.shape, one.stride(), one.dtype) for one in noted.given])
        key = (noted.function, shapes, str(_plain(noted.args)), str(_plain(noted.kwargs)))
        if key not in self._tried:
            self._tried[key] = _into_place(noted)
        operation = self._tried[key]
        if operation is not None:
            return operation, noted.args, {**noted.kwargs, "out": noted.output}
        function, args, kwargs, made = noted.function, noted.args, noted.kwargs, noted.made

        def copied() -> None:
            for place, fresh in zip(made, _tensors(function(*args, **kwargs)), strict=True):
                place.copy_(fresh)

        return copied, (), {}


def keys_and_values(cache: DynamicCache) -> list[Tensor]:
    """The keys and the values of each layer in turn. Raises `NoRecipe` for a cache of another kind, or an empty one."""
    found: list[Tensor] = []
    for layer in cache.layers:
        if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None or not layer.keys.numel():
            raise NoRecipe("a layer keeps something other than the keys and values of all tokens")
        found += layer.keys, layer.values
    if not found:
        raise NoRecipe("nothing was read")
    return found


def _compare(earlier: WrittenPass, latest: WrittenPass, own: set[int]) -> None:
    """Raises `NoRecipe` unless both passes carried out the same operations."""
    if earlier.length == latest.length:
        raise ValueError("passes of different lengths are compared")
    if [one.function for one in earlier.operations] != [one.function for one in latest.operations]:
        raise NoRecipe("it does not carry out the same operations at every length")
    roles: tuple[dict[int, object], dict[int, object]] = ({}, {})
    for role, written in zip(roles, (earlier, latest), strict=True):
        role |= {id(one): ("cache", number) for number, one in enumerate(written.before)}
        role[id(written.ids)], role[id(written.positions)] = "ids", "positions"
    for number, (a, b) in enumerate(zip(earlier.operations, latest.operations, strict=True)):
        by_numbers = not _BY_NUMBERS.isdisjoint(a.function.tags) and a.function not in _ONLY_IN_TRAINING
        if by_numbers or not _is_continuous(b):
            raise NoRecipe(f"{a.function} chooses by the numbers in a tensor")
        if _plain((a.args, a.kwargs)) != _plain((b.args, b.kwargs)):
            raise NoRecipe(f"{a.function} depends on the length")
        for one, other in zip(a.given, b.given, strict=True):
            known = roles[0].get(id(one)), roles[1].get(id(other))
            if known[0] != known[1] or (known[0] is None and not _same_constant(one, other, own)):
                raise NoRecipe(f"{a.function} depends on the length")
        made = a.made, b.made
        if len(made[0]) != len(made[1]) or (not made[1] and b.output is not None):
            raise NoRecipe(f"{a.function} makes no tensor")
        cache = any(isinstance(roles[0].get(id(one)), tuple) and _appends(a) for one in a.given)
        for place, (one, other) in enumerate(zip(*made, strict=True)):
            if one.shape != other.shape and not cache:
                raise NoRecipe(f"the output of {a.function} grows with the length")
            if not a.given and not _same_constant(one, other, own):
                raise NoRecipe(f"{a.function} depends on the length")
            # An operation may return what it was given.
            roles[0].setdefault(id(one), (number, place))
            roles[1].setdefault(id(other), (number, place))


def _appends(noted: _Noted) -> bool:
    """Does it put one tensor after another along the tokens?"""
    return noted.function is _aten.cat.default and len(noted.given) == 2 and noted.args[1:] in ((-2,), (2,))


def _is_continuous(noted: _Noted) -> bool:
    """False if it makes whole numbers or truth values of floating-point ones: what follows might depend on them."""
    return not any(one.is_floating_point() for one in noted.given) or all(one.is_floating_point() for one in noted.made)


def _same_constant(one: Tensor, other: Tensor, own: set[int]) -> bool:
    """Is it the same tensor of the model, or a small one with the same numbers?"""
    if id(one) in own or id(other) in own:
        return one is other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return one.data_ptr() == other.data_ptr() or (one.numel() < 1 << 20 and torch.equal(one, other))


def _into_place(noted: _Noted) -> Operation | None:
    """The function that does this and puts its output into a given tensor; None if there is none that gives the same
    bits."""
    function = _python(noted.function)
    if function is None or not isinstance(noted.output, Tensor):
        return None
    output = noted.output
    place = torch.empty_strided(output.shape, output.stride(), dtype=output.dtype)
    try:
        function(*noted.args, **noted.kwargs, out=place)
    except (TypeError, RuntimeError):
        return None
    same = place.shape == output.shape and place.stride() == output.stride() and torch.equal(place, output)
    return function if same else None


def _python(function: Any) -> Operation | None:
    """torch's function for an operation, which is called in a fraction of the time."""
    name = function.overloadpacket.__name__
    found: Operation | None = getattr(torch, name, None) or getattr(torch._C._nn, name, None)
    return found


def _place(tensor: Tensor) -> int:
    """Equal for tensors that look at the same memory."""
    return tensor.untyped_storage().data_ptr() or -id(tensor)


def _tensors(thing: object) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, (tuple, list)):
        for one in thing:
            yield from _tensors(one)
    elif isinstance(thing, dict):
        for one in thing.values():
            yield from _tensors(one)


def _plain(thing: object) -> object:
    """The same without the tensors, to be compared."""
    if isinstance(thing, Tensor):
        return Tensor
    if isinstance(thing, (tuple, list)):
        return [_plain(one) for one in thing]
    if isinstance(thing, dict):
        return {key: _plain(one) for key, one in thing.items()}
    return type(thing), thing
