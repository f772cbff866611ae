"""Sends objects with tensors from one process to another over a connection, such as a cache of any kind.

The object is pickled without its tensors. Each of them follows as its bytes alone, and is read into its place, so that
neither side ever holds a second copy of them all. Only processes of this program may be at the two ends.
"""

from __future__ import annotations

import io
import pickle
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

_Described = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""The sizes of a tensor in the order in which its bytes follow, the place of each of its dimensions among them, and its
dtype."""


def send(connection: Connection, thing: object) -> None:
    """Sends an object whose tensors are on the CPU. Raises OSError if nobody reads at the other end."""
    skeleton, tensors = io.BytesIO(), _Tensors()
    _Pickler(skeleton, tensors).dump(thing)
    connection.send_bytes(skeleton.getbuffer())
    connection.send_bytes(pickle.dumps([described for _, described in tensors.found]))
    for tensor, _ in tensors.found:
        if tensor.numel():
            connection.send_bytes(_bytes_of(tensor.permute(_order(tensor)).contiguous()))


def receive(connection: Connection) -> Any:
    """The object that was sent. Raises EOFError or OSError if the other end was closed."""
    skeleton = connection.recv_bytes()
    tensors = []
    for sizes, places, dtype in pickle.loads(connection.recv_bytes()):
        laid_out = torch.empty(sizes, dtype=dtype)
        if laid_out.numel():
            connection.recv_bytes_into(_bytes_of(laid_out))
        tensors.append(laid_out.permute(places))
    return _Unpickler(io.BytesIO(skeleton), tensors).load()


def _order(tensor: Tensor) -> list[int]:
    """The dimensions in the order in which they are in memory."""
    return sorted(range(tensor.dim()), key=tensor.stride, reverse=True)


class _Tensors:
    """The tensors of one object, each once."""

    def __init__(self) -> None:
        self.found: list[tuple[Tensor, _Described]] = []
        self._numbers: dict[int, int] = {}

    def number(self, tensor: Tensor) -> int:
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.found)
            order = _order(tensor)
            places = tuple(order.index(dim) for dim in range(tensor.dim()))
            self.found.append((tensor, (tuple(tensor.shape[dim] for dim in order), places, tensor.dtype)))
        return self._numbers[id(tensor)]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, tensors: _Tensors) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._tensors = tensors

    def persistent_id(self, thing: object) -> int | None:
        return self._tensors.number(thing) if isinstance(thing, Tensor) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, tensors: list[Tensor]) -> None:
        super().__init__(file)
        self._tensors = tensors

    def persistent_load(self, number: int) -> Tensor:
        return self._tensors[number]


def _bytes_of(tensor: Tensor) -> memoryview:
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data)
