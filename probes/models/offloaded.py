"""Reads and replaces weights that a device map keeps off the device that computes with them.

accelerate moves such a weight in when its module runs, and drops it afterwards: in between, the module has a tensor
without numbers on the device "meta". The numbers are in the `weights_map` of the module's hook, which reads the CPU's
memory or a file on the disk. A module graph that differs in a weight has another map in its own hook.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping

import torch
from accelerate.hooks import AlignDevicesHook
from torch import Tensor, nn

from probes.schema.errors import BadInput, Failure
from probes.system.user_folders import cache_folder

_KEY = "weight"


def is_offloaded(module: nn.Module) -> bool:
    """Is the module's weight elsewhere while the module does not run?"""
    weight = module.weight
    return isinstance(weight, Tensor) and weight.is_meta


def any_offloaded(model: nn.Module) -> bool:
    """Is one of the model's weights elsewhere between passes?"""
    return any(parameter.is_meta for parameter in model.parameters())


def weight_of(module: nn.Module) -> Tensor:
    """The weight that the module computes with, on the device that it computes on; read now if it is elsewhere.

    Raises `BadInput` if it moves in together with those of other modules, so that it can't be read alone.
    """
    weight = module.weight
    assert isinstance(weight, Tensor)
    if not weight.is_meta:
        return weight
    hook = _hook(module)
    found: Tensor = hook.weights_map[_KEY]
    return found.to(hook.execution_device)


def tensor_of(model: nn.Module, name: str, tensor: Tensor) -> Tensor:
    """A tensor of the model's state with its numbers; on the CPU if it is read from elsewhere."""
    if not tensor.is_meta:
        return tensor
    path, _, key = name.rpartition(".")
    found: Tensor = _hook(model.get_submodule(path), key).weights_map[key]
    return found


def is_readable(model: nn.Module, name: str, tensor: Tensor) -> bool:
    """Can `tensor_of` give the numbers of a tensor of the model's state?"""
    path, _, key = name.rpartition(".")
    return not tensor.is_meta or _found_hook(model.get_submodule(path), key) is not None


def device_of(module: nn.Module) -> torch.device:
    """The device that the module computes on."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if not weight.is_meta:
        return weight.device
    device = _hook(module).execution_device
    return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)


def replace_offloaded(module: nn.Module, made: Callable[[], Tensor]) -> None:
    """Makes the module compute with `made()` from now on, which is called whenever it runs."""
    hook = _hook(module)
    hook.weights_map = _Replaced(_original(hook.weights_map), made)


def restore_offloaded(module: nn.Module) -> None:
    """Undoes `replace_offloaded`."""
    hook = _hook(module)
    hook.weights_map = _original(hook.weights_map)


def mapped(weight: Tensor) -> Tensor:
    """A copy in a nameless file of the cache folder, which the system reads and writes as memory allows.

    Raises `Failure` if the disk can't hold it.
    """
    raw = weight.detach().cpu().contiguous().view(-1).view(torch.uint8)
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache_folder(), prefix="offloaded-") as file:
            file.write(raw.numpy().data)
            file.flush()
            kept = torch.from_file(file.name, shared=True, size=raw.numel(), dtype=torch.uint8)
    except OSError as problem:
        raise Failure(
            "Disk full",
            f"{raw.numel() / 1e9:.1f} GB of changed weights can't be kept in {cache_folder()}: {problem.strerror}.",
            "Free some space, or use a method that only removes weights: wanda, magnitude, random.",
        ) from problem
    return kept.view(weight.dtype).view(weight.shape)


def offload_folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder for weights that a device map keeps on the disk, if their files don't hold them as they are used."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=cache_folder(), prefix="offloaded-")


class _Replaced(Mapping[str, Tensor]):
    """A map of weights with another weight; all other tensors are those of the map below."""

    def __init__(self, below: Mapping[str, Tensor], made: Callable[[], Tensor]) -> None:
        self.below, self._made = below, made

    def __getitem__(self, key: str) -> Tensor:
        return self._made() if key == _KEY else self.below[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.below)

    def __len__(self) -> int:
        return len(self.below)


def _original(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return weights.below if isinstance(weights, _Replaced) else weights


def _found_hook(module: nn.Module, key: str) -> AlignDevicesHook | None:
    hook = getattr(module, "_hf_hook", None)
    for inner in getattr(hook, "hooks", (hook,)):
        if isinstance(inner, AlignDevicesHook) and inner.offload and key in (inner.weights_map or ()):
            return inner
    return None


def _hook(module: nn.Module, key: str = _KEY) -> AlignDevicesHook:
    if (hook := _found_hook(module, key)) is not None:
        return hook
    raise BadInput(
        "Weights elsewhere",
        f"A device map moves a {type(module).__name__} in together with other modules, so its weights can't "
        "be read and pruned on their own.",
        "Load the model without --device-map, or with another one.",
    )
