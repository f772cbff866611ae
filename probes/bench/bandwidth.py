"""Measures how fast a device reads memory, and the time below which no step of a model can go.

A step of one token reads every weight once and does little else with it, so the bytes of the weights over the bytes
that the device reads a second are a floor for its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

SIZE = 2**29
"""Bytes of the tensor that is read: far more than the caches of a processor hold."""
ROUNDS = 5
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """The bytes a second that a device reads from a tensor that no cache holds: the fastest of the rounds."""

    device: str
    threads: int
    """Those that a CPU read with."""
    size: int
    """Bytes of the tensor."""
    summing: float
    """The sum of all elements."""
    multiplying: float
    """The product of a matrix and a vector, as in a step."""

    @property
    def fastest(self) -> float:
        """The faster of the two, so that what is divided by it is a floor."""
        return max(self.summing, self.multiplying)


@dataclass(frozen=True, slots=True)
class Floor:
    """The least time of a step of two models that read their weights one after the other or at the same time."""

    weights: int
    """Bytes of weights that both passes read, also if the models share them."""
    bandwidth: Bandwidth

    @property
    def seconds(self) -> float:
        return self.weights / self.bandwidth.fastest


@torch.inference_mode()
def measure_bandwidth(device: torch.device, *, size: int | None = None, rounds: int = ROUNDS) -> Bandwidth:
    """Reads a tensor of so many bytes (`SIZE` if not given), float32 on a CPU and bfloat16 elsewhere, with the threads
    of this thread."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    columns = max(1, (size or SIZE) // (_ROWS * dtype.itemsize))
    matrix = torch.ones(_ROWS, columns, dtype=dtype, device=device)
    vector = torch.ones(columns, dtype=dtype, device=device)
    summing = _fastest(matrix.sum, device, rounds)
    multiplying = _fastest(lambda: matrix @ vector, device, rounds)
    return Bandwidth(
        str(device), torch.get_num_threads(), matrix.nbytes, matrix.nbytes / summing, matrix.nbytes / multiplying
    )


def weights_read(model: PreTrainedModel) -> int:
    """Bytes of the weights that a pass over one token reads: each tensor once, of the input embedding one row.

    An embedding that is tied to the LM head is read whole, by the head. Dropped layers have no weights.
    """
    held = {id(one): one for one in model.parameters()}
    head = model.get_output_embeddings()
    by_head = {id(one) for one in head.parameters()} if head is not None else set()
    total = sum(one.nbytes for one in held.values())
    for embedded in model.get_input_embeddings().parameters():
        if id(embedded) not in by_head:
            total -= embedded.nbytes - embedded[0].nbytes
    return total


def synchronise(device: torch.device) -> None:
    """Waits until a GPU has finished; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _fastest(read: Callable[[], Tensor], device: torch.device, rounds: int) -> float:
    """The least seconds of the rounds; a first one is not counted."""
    found = []
    for _ in range(rounds + 1):
        synchronise(device)
        begun = time.perf_counter()
        read()
        synchronise(device)
        found.append(time.perf_counter() - begun)
    return min(found[1:])
