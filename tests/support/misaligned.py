"""A module whose weights are not in aligned memory."""

from __future__ import annotations

import torch
from torch import nn


class Shifted(nn.Module):
    """Two matrices that share memory that is not aligned, and one in aligned memory."""

    def __init__(self) -> None:
        super().__init__()
        memory = torch.arange(40.0)
        self.first = nn.Parameter(memory[2:34].view(4, 8))
        self.second = nn.Parameter(memory[2:34].view(4, 8))
        self.third = nn.Parameter(torch.ones(4))
