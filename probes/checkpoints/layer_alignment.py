"""Finds the dense layer that each layer of a shallower model was."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.twin.anatomy import Anatomy

_SAMPLE = 1024
"""How many numbers of each tensor are compared."""
_SURE = 0.5
"""The largest distance to the chosen layer, as a share of the distance to the next best one."""


def align_layers(
    model: PreTrainedModel, ours: Anatomy, dense: PreTrainedModel, theirs: Anatomy
) -> dict[int, int] | None:
    """The dense layer of each layer of the second model; None if the weights do not show it.

    The assignment keeps the order of the layers and minimises the sum of the distances ‖w' - w‖₂ / ‖w‖₂ between samples
    of their tensors. Every layer must be much nearer to its dense layer than to any other.
    """
    layers, there = [block.layer for block in ours.blocks], [block.layer for block in theirs.blocks]
    few, many = len(layers), len(there)
    if few == many:
        return dict(zip(layers, there, strict=True))
    if not 0 < few < many:
        return None
    mine = [_sample(model, block.name) for block in ours.blocks]
    others = [_sample(dense, block.name) for block in theirs.blocks]
    apart = torch.tensor([[_distance(one, other) for other in others] for one in mine], dtype=torch.float64)
    if not bool(apart.isfinite().all()):
        return None
    found = _in_order(apart)
    for layer, other in enumerate(found):
        rest = torch.cat([apart[layer, :other], apart[layer, other + 1 :]])
        if float(apart[layer, other]) > _SURE * float(rest.min()):
            return None
    return {layer: there[other] for layer, other in zip(layers, found, strict=True)}


def _sample(model: PreTrainedModel, path: str) -> dict[str, Tensor]:
    """Numbers at the same places of every matrix of a block, by the matrix's name within the block."""
    found = {}
    for name, value in model.get_submodule(path).state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point() and not value.is_meta and value.dim() > 1:
            flat = value.detach().reshape(-1)
            found[f"{name} {tuple(value.shape)}"] = flat[:: max(1, flat.numel() // _SAMPLE)].cpu().double()
    return found


def _distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The relative distance of two samples; infinite if no tensor has the same name and shape in both."""
    shared = [(one[name], other[name]) for name in one if name in other]
    if not shared:
        return float("inf")
    a, b = torch.cat([pair[0] for pair in shared]), torch.cat([pair[1] for pair in shared])
    return float((a - b).norm() / b.norm().clamp_min(torch.finfo(torch.float64).tiny))


def _in_order(apart: Tensor) -> tuple[int, ...]:
    """A column for each row, strictly ascending, with the least sum, by dynamic programming."""
    rows, columns = apart.shape
    best: list[Sequence[float]] = [[0.0] * (columns + 1)]
    for row in range(rows):
        line = [float("inf")] * (columns + 1)
        for column in range(row, columns):
            line[column + 1] = min(line[column], best[row][column] + float(apart[row, column]))
        best.append(line)
    found: list[int] = []
    column = columns
    for row in range(rows, 0, -1):
        while best[row][column] == best[row][column - 1]:
            column -= 1
        column -= 1
        found.append(column)
    return tuple(reversed(found))
