"""Finds the experts of a mixture in a block and the layers that route to them, by structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from probes.models.kv_cache import is_mixer

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def routing(block: nn.Module, linear: Sequence[str], attention: Sequence[str]) -> set[str]:
    """The linear layers of a block, by path within it, that route to experts or weight a shared expert.

    They are beside the experts and return one number for each expert, or a single number. The paths of `attention` in
    the block are not searched.
    """
    found: set[str] = set()
    for path, number in _experts(block, attention):
        beside = path.rpartition(".")[0]
        for name in linear:
            near = not beside or name.startswith(f"{beside}.")
            if near and not _under(name, [path, *attention]) and _outputs(block.get_submodule(name)) in (1, number):
                found.add(name)
    return found


def experts_in(unreachable: Sequence[str]) -> bool:
    """Do the names of weights that can't be pruned one by one include experts?"""
    return any("expert" in name for name in unreachable)


def _experts(block: nn.Module, attention: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The modules that hold experts, stacked in one tensor or as a list of modules, and how many there are."""
    for path, module in block.named_modules():
        if not path or _under(path, attention) or is_mixer(module) or isinstance(module, _CONVOLUTIONS):
            continue
        stacked = [parameter.shape[0] for parameter in module.parameters(recurse=False) if parameter.dim() == 3]
        if stacked:
            yield path, stacked[0]
        elif isinstance(module, nn.ModuleList) and len(module) > 1 and any(p.dim() == 2 for p in module.parameters()):
            yield path, len(module)


def _outputs(module: nn.Module) -> int:
    """How many numbers a linear layer returns."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.shape[1] if isinstance(module, Conv1D) else weight.shape[0]


def _under(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(f"{root}.") for root in roots)
