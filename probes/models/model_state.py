"""Notices whether a model still is what it was: its modules, its tensors and the code that they run.

What was prepared for a model, as `stepping/recipe.py` does, may be used only as long as that holds. Looking takes a
fraction of a millisecond for hundreds of modules, so it is done before every use.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, repeat
from operator import is_, itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as every_module

_EVERYWHERE = ("_global_forward_hooks", "_global_forward_pre_hooks")


class ModelState:
    """A model's modules and tensors, and where these are in memory, at the moment when this is made."""

    def __init__(self, model: nn.Module) -> None:
        modules: list[Any] = list(model.modules())
        stores: list[Mapping[str, object]] = [
            store for one in modules for store in (one._modules, one._parameters, one._buffers)
        ]
        self._stores = [store for store in stores if store]
        self._all = stores
        self._sizes = list(map(len, stores))
        self._kept = [one for store in stores for one in store.values()]
        self._tensors = [one for one in self._kept if isinstance(one, Tensor)]
        plain = {Tensor, nn.Parameter, nn.Buffer}
        self.on_cpu = all(type(one) in plain and one.device.type == "cpu" for one in self._tensors)
        """Are all tensors plain ones in the CPU's memory?"""
        self._pointers = list(map(Tensor.data_ptr, self._tensors))
        self._own: list[dict[str, object]] = [one.__dict__ for one in modules]
        self._hooks = [hooks for one in modules for hooks in (one._forward_hooks, one._forward_pre_hooks)]
        kinds: set[Any] = set(map(type, modules))
        self._forwards = [(kind, kind.forward) for kind in kinds]
        configs = {id(one.config): one.config for one in modules if hasattr(one, "config")}
        self._attention = [(config, _attention(config)) for config in configs.values()]

    @property
    def watched(self) -> bool:
        """Does something watch or change what its modules do, or do they train?"""
        return (
            any(self._hooks)
            or any(getattr(every_module, name) for name in _EVERYWHERE)
            or any(map(dict.__contains__, self._own, repeat("forward")))
            or any(map(itemgetter("training"), self._own))
        )

    @property
    def current(self) -> bool:
        """Has the model the same modules, which run the same code, and the same tensors at the same places? A tensor
        that was written to in place is the same."""
        return (
            all(map(int.__eq__, map(len, self._all), self._sizes))
            and all(map(is_, chain.from_iterable(store.values() for store in self._stores), self._kept))
            and all(map(int.__eq__, map(Tensor.data_ptr, self._tensors), self._pointers))
            and all(kind.forward is forward for kind, forward in self._forwards)
            and all(_attention(config) == kernel for config, kernel in self._attention)
        )


def is_observed() -> bool:
    """Do torch's operations go through anything but torch here, such as a mode that counts them or changes a dtype?"""
    return bool(
        torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch.is_autocast_enabled("cpu")
        or torch.is_grad_enabled()
    )


def _attention(config: object) -> object:
    return getattr(config, "_attn_implementation", None)
