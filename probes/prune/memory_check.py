"""Checks before a pruning that it fits into memory: running out of memory later could waste an hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import torch

from probes.models.devices import available_bytes
from probes.schema.errors import Failure
from probes.schema.prune_setting import Method, Setting, SettingPart, ranges
from probes.twin.anatomy import Matrix
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState

_SCORE = 4
"""Bytes of the float32 score of one weight; one matrix at a time has scores."""

Free = Callable[[torch.device], int]


def check_memory(twin: Twin, setting: Setting, start: TwinState, free: Free | None = None) -> None:
    """Raises `Failure` unless the matrices that a setting changes fit beside the dense model, on each device.

    `start` is the state that pruning begins with, whose matrices already exist. `free` gives the free bytes of a device
    (measured if it is None). The check counts the least that any method needs: a copy of each changed matrix, its mask,
    and the scores of the largest matrix (for SparseGPT also the Hessian and its factor). Dropping sublayers needs no
    memory.
    """
    matrices = [matrix for matrix in _changed(twin, setting) if matrix.name not in start.changes]
    by_device: dict[torch.device, list[Matrix]] = {}
    for matrix in matrices:
        by_device.setdefault(twin.device(matrix.name), []).append(matrix)
    for device, here in by_device.items():
        there = (free or available_bytes)(device) + _freed(twin, start, device)
        working = max(_working(twin, matrix, setting) for matrix in here)
        needed = sum(_kept(twin, matrix) for matrix in here) + working
        if needed > there:
            raise Failure(
                "Out of memory",
                f"{setting} needs {needed / 1e9:.1f} GB beside the dense model for the matrices it changes, "
                f"and {there / 1e9:.1f} GB are free on {device}.",
                _what_fits(twin, here, there - working),
            )


def _changed(twin: Twin, setting: Setting) -> Iterator[Matrix]:
    """The matrices that get their own weights, each once."""
    for matrix in twin.anatomy.matrices:
        for part in setting.parts:
            if _sublayer(part) in ("", matrix.sublayer) and part.targets.has(
                matrix.name, matrix.layer, matrix.sublayer
            ):
                yield matrix
                break


def _sublayer(part: SettingPart) -> str | None:
    """The sublayer whose weights a method changes: "" for both, None if it changes no weight."""
    if part.method is Method.NEURONS:
        return "mlp"
    if part.method is Method.HEADS:
        return "attn"
    return "" if part.method.unstructured else None


def _kept(twin: Twin, matrix: Matrix) -> int:
    """Bytes of a changed matrix and of its mask, a bit a weight; the mask's alone if the matrix is offloaded."""
    size = twin.shape(matrix.name).numel()
    return (0 if twin.is_offloaded(matrix.name) else size * twin.element_size(matrix.name)) + -(-size // 8)


def _working(twin: Twin, matrix: Matrix, setting: Setting) -> int:
    outputs, inputs = twin.shape(matrix.name)
    read = outputs * inputs * twin.element_size(matrix.name) if twin.is_offloaded(matrix.name) else 0
    if any(part.method is Method.SPARSEGPT for part in setting.parts):
        return read + _SCORE * (2 * outputs * inputs + 2 * inputs * inputs)  # matrix and errors, Hessian and factor
    return read + _SCORE * outputs * inputs


def _freed(twin: Twin, start: TwinState, device: torch.device) -> int:
    """Bytes of masked matrices that are freed when the twin goes to the state that pruning starts from."""
    freed = [name for name, change in twin.state.changes.items() if name not in start.changes and change.weight is None]
    there = [name for name in freed if twin.device(name) == device and not twin.is_offloaded(name)]
    return sum(twin.shape(name).numel() * twin.element_size(name) for name in there)


def _what_fits(twin: Twin, matrices: Sequence[Matrix], free: int) -> str:
    """The hint of the error: how many of the first layers would fit."""
    by_layer: Counter[int] = Counter()
    for matrix in matrices:
        by_layer[matrix.layer] += _kept(twin, matrix)
    layers = sorted(by_layer)
    fit = sum(total <= free for total in accumulate(by_layer[layer] for layer in layers))
    other = "Load in a smaller --dtype such as bfloat16, or drop sublayers, which takes no memory."
    if not fit:
        return other
    return f"{fit} of its {len(layers)} layers would fit (@layers={ranges(layers[:fit])}). {other}"
