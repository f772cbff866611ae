"""The difference between a pruned twin and the dense model, as bits and references, so that a history of states is
small."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from probes.schema.part import Part

Bits = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
"""A mask with one bit for each weight, in the order of (outputs, inputs)."""


@dataclass(frozen=True, slots=True, eq=False)
class MatrixChange:
    """The change of one matrix: the dense weights with zeros, or other weights."""

    kept: Bits
    """One bit for each weight: 0 if the weight was set to zero."""
    weight: nn.Parameter | None = None
    """The stored weight; None if it is the dense weight with zeros."""
    feature_mask: Bits | None = None
    """The part of the mask that structured pruning set; later methods keep these zeros."""


@dataclass(frozen=True, slots=True)
class TwinState:
    """The whole difference between a twin and the dense model."""

    changes: Mapping[str, MatrixChange] = field(default_factory=dict)
    """By matrix name."""
    dropped: frozenset[Part] = frozenset()

    @property
    def hash(self) -> str:
        """SHA-256 over matrix names, masks and drops, hex; "" if nothing differs from the dense model."""
        if not self.changes and not self.dropped:
            return ""
        digest = hashlib.sha256()
        for name, change in sorted(self.changes.items()):
            digest.update(name.encode())
            digest.update(change.kept.data)
        digest.update(" ".join(sorted(map(str, self.dropped))).encode())
        return digest.hexdigest()


def packed(keep: Tensor) -> Bits:
    """A boolean mask, (outputs, inputs), as bits."""
    return np.packbits(keep.detach().cpu().contiguous().numpy().reshape(-1))


def count_kept(bits: Bits, size: int) -> int:
    """How many weights of so many a mask keeps."""
    spare = len(bits) * 8 - size
    assert spare < 8, "a mask is as long as its matrix"
    return int(np.bitwise_count(bits).sum())  # the spare bits of the last byte are 0


def unpacked(bits: Bits, shape: torch.Size) -> Tensor:
    """The boolean mask that `packed` took, on the CPU."""
    return torch.from_numpy(np.unpackbits(bits, count=shape.numel()).view(bool)).view(shape)
