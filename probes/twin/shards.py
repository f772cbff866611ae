"""Prunes the shards of a model as a twin in another process was pruned, whose model is whole."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from probes.schema.part import BLOCK, Part
from probes.twin.anatomy import dissect
from probes.twin.dropping import replace_modules, replacements
from probes.twin.twin_state import MatrixChange, unpacked


def prune_shards(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    names: Collection[str],
    change_of: Callable[[str], MatrixChange],
    dropped: Collection[Part],
) -> None:
    """Brings `pruned`, which is the dense model loaded again, into the state of a twin.

    `names` are the changed matrices, and `change_of` gives the change of the whole matrix, of which each process takes
    its part. All other tensors are the dense model's own afterwards. Every process must call it.
    """
    anatomy = dissect(pruned)
    found = replacements(pruned, anatomy) if dropped else {}
    transposed = {matrix.name for matrix in anatomy.matrices if matrix.transposed}
    others = dict(dense.named_modules())
    for path, module in pruned.named_modules():
        for key, own in others[path]._parameters.items():
            if own is not None and not (path in names and key == "weight"):
                module._parameters[key] = own
    for name in names:
        module = pruned.get_submodule(name)
        module._parameters["weight"] = _changed(
            others[name].get_parameter("weight"), change_of(name), name in transposed
        )
    for part in sorted(dropped, key=lambda part: part.kind == BLOCK):
        replace_modules(pruned, found[part])


def _changed(dense: nn.Parameter, change: MatrixChange, transposed: bool) -> nn.Parameter:
    """The part of the changed matrix that belongs to the dense matrix's part in this process."""
    here = dense.to_local() if isinstance(dense, DTensor) else dense.detach()
    if change.weight is not None:
        made = _part(change.weight.detach(), dense).to(here.device)
    else:
        shape = torch.Size(reversed(dense.shape)) if transposed else dense.shape
        kept = unpacked(change.kept, shape)
        made = torch.where(_part(kept.t() if transposed else kept, dense).to(here.device), here, 0)
    if isinstance(dense, DTensor):
        made = DTensor.from_local(
            made, dense.device_mesh, dense.placements, run_check=False, shape=dense.shape, stride=dense.stride()
        )
    return nn.Parameter(made, requires_grad=False)


def _part(whole: Tensor, like: Tensor) -> Tensor:
    """The part of a whole tensor that this process has of a sharded one."""
    if not isinstance(like, DTensor):
        return whole
    there = whole.to(like.device_mesh.device_type)
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None).to_local().contiguous()
