"""Leaves out of the program's start two parts of torch that only other uses need: its compiler, and sharded tensors.

Transformers imports both (a third of all that it imports) to mark functions for the compiler, and to ask of each tensor
whether it is sharded. Marks are of use only to whoever compiles a model with 8-bit weights or flexible attention; and
nothing is sharded while nobody has imported sharded tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER, _SHARDED = "torch._dynamo", "torch.distributed.tensor"
_INDEXING = f"{_COMPILER}._trace_wrapped_higher_order_op"
_MARKS = frozenset(("allow_in_graph", "assume_constant_result", "disable"))
"""What transformers marks functions with when it is imported."""


@contextmanager
def without_compiler() -> Iterator[None]:
    """Marks no function for torch's compiler in its block, instead of importing the compiler.

    The block is for importing modules, and for making models on the meta device, where torch asks the compiler to leave
    its functions alone. Whatever else is asked of the compiler there imports it after all.
    """
    if _COMPILER in sys.modules:
        yield
        return
    indexing = ModuleType(_INDEXING)
    vars(indexing)["TransformGetItemToIndex"] = _real_indexing
    sys.modules |= {_COMPILER: _Marks(_COMPILER), _INDEXING: indexing}
    try:
        yield
    finally:
        _forget_marks()


class _Marks(ModuleType):
    """Stands for the compiler: takes marks, and changes no function."""

    def __getattr__(self, name: str) -> Any:
        if name in _MARKS:
            return _unmarked
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        _forget_marks()
        return getattr(import_module(_COMPILER), name)


def _forget_marks() -> None:
    if isinstance(sys.modules.get(_COMPILER), _Marks):
        del sys.modules[_COMPILER], sys.modules[_INDEXING]


def _unmarked(function: Any = None, *_more: Any, **_options: Any) -> Any:
    return _unmarked if function is None else function


def _real_indexing() -> Any:
    """The mode that lets some attention masks be computed by indexing, imported when such a mask is made."""
    return import_module(_INDEXING).TransformGetItemToIndex()


@contextmanager
def without_sharding() -> Iterator[None]:
    """In its block, transformers imports nothing that shards models; from then on it asks whether a tensor is sharded
    only once sharded tensors have been imported."""
    from transformers import utils
    from transformers.utils import import_utils

    asked = import_utils.is_torch_distributed_available
    if _SHARDED in sys.modules:
        yield
        return
    for module in (utils, import_utils):
        vars(module)["is_torch_distributed_available"] = _unavailable
    try:
        yield
    finally:
        for module in list(sys.modules.values()):
            names = (
                vars(module) if isinstance(module, ModuleType) and module.__name__.startswith("transformers") else {}
            )
            if names.get("is_torch_distributed_available") is _unavailable:
                names["is_torch_distributed_available"] = asked
            if (is_dtensor := names.get("is_dtensor")) is not None:
                names["is_dtensor"] = _once_imported(is_dtensor)


def _unavailable() -> bool:
    return False


def _once_imported(is_dtensor: Callable[[object], bool]) -> Callable[[object], bool]:
    def asked(tensor: object) -> bool:
        return _SHARDED in sys.modules and is_dtensor(tensor)

    return asked
