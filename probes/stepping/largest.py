"""Finds the top token of many rows, a block of the vocabulary at a time."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 128
"""Neighbouring tokens whose largest logit is taken at once."""


def first_largest(logits: Tensor) -> Tensor:
    """The token of the largest logit of each row, (n, V): (n,); of equal logits the smaller id.

    Blocks first: torch finds a maximum's place much slower than the maximum.
    """
    vocabulary = logits.shape[1]
    size = min(_BLOCK, vocabulary)
    whole = vocabulary - vocabulary % size
    blocks = logits[:, :whole].unflatten(1, (-1, size)).amax(-1)
    if whole < vocabulary:
        blocks = torch.cat([blocks, logits[:, whole:].amax(-1, keepdim=True)], 1)
    # The last block may begin in the one before it, whose maximum is then less.
    start = (blocks.argmax(-1, keepdim=True) * size).clamp_(max=vocabulary - size)
    inside = logits.gather(1, start + torch.arange(size, device=logits.device))
    token: Tensor = start + inside.argmax(-1, keepdim=True)
    return token[:, 0]
