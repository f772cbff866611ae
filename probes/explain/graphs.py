"""Module graphs that share modules with a model and differ from it in a few, so that the model itself is never changed.

Another thread may be reading with the model meanwhile.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn
from transformers import Cache

from probes.models.hooks import Call
from probes.twin.dropping import PassThrough

M = TypeVar("M", bound=nn.Module)


def graph_with(root: M, modules: Mapping[str, nn.Module]) -> M:
    """A copy of a graph with other modules at these paths. All other modules are the same objects."""
    own = copy.copy(root)
    state = own.__dict__
    for name in ("_modules", "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs"):
        state[name] = copy.copy(state[name])
    inner: dict[str, dict[str, nn.Module]] = {}
    for path, module in modules.items():
        child, _, rest = path.partition(".")
        if rest:
            inner.setdefault(child, {})[rest] = module
        else:
            state["_modules"][child] = module
    for child, below in inner.items():
        state["_modules"][child] = graph_with(root.get_submodule(child), below)
    return own


class Instead(PassThrough):
    """Replaces a block by a function of its call."""

    def __init__(self, block: nn.Module, run: Callable[[Call], object]) -> None:
        super().__init__(block, None, passes=True)
        self.__dict__["_run"] = run

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_run"](Call(args, kwargs))


def output_of(hidden: Tensor, values: int | None) -> Tensor | tuple[Tensor | None, ...]:
    """The hidden state as a module returns it: bare, or the first of so many values."""
    return hidden if values is None else (hidden, *[None] * (values - 1))


def cache_in(call: Call) -> Cache | None:
    """The cache among the arguments of a call."""
    return next((value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Cache)), None)


def without_cache(call: Call) -> Call:
    """The same call without the cache."""
    args = tuple(None if isinstance(value, Cache) else value for value in call.args)
    return Call(args, {key: None if isinstance(value, Cache) else value for key, value in call.kwargs.items()})
