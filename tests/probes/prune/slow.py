"""SparseGPT read from the paper's equations in the slowest way there is, to hold the fast one against."""

from __future__ import annotations

import torch
from torch import Tensor

from probes.prune.setting import Pattern, Ratio


def hessian(inputs: Tensor) -> Tensor:
    """H = (2/n) Σ x xᵀ of (tokens, features)."""
    return 2 / len(inputs) * inputs.T @ inputs


def sparsegpt_slowly(weight: Tensor, h: Tensor, amount: Ratio | Pattern, block: int = 128) -> Tensor:
    """Optimal brain surgeon, column by column, float64: equations 2 and 3 of the paper, nothing shared or reused.

    The Hessian of the columns not yet done is inverted anew for every column. Inputs that never spoke lose their
    weights first, and H is damped by a hundredth of its mean diagonal.
    """
    w, h = weight.double().clone(), h.double().clone()
    silent = h.diagonal() == 0
    w[:, silent] = 0
    h.diagonal()[silent] = 1
    h += torch.eye(len(h), dtype=torch.float64) * 0.01 * h.diagonal().mean()
    rows, columns = w.shape
    cost_of = [float(torch.linalg.inv(h[k:, k:])[0, 0]) for k in range(columns)]
    keep = torch.ones(rows, columns, dtype=torch.bool)

    def lose(cells: list[tuple[int, int]], count: int) -> None:
        costs = {(i, k): float(w[i, k]) ** 2 / cost_of[k] for i, k in cells}
        for i, k in sorted(costs, key=costs.__getitem__)[:count]:
            keep[i, k] = False

    for j in range(columns):
        if isinstance(amount, Ratio) and j % block == 0:
            cells = [(i, k) for i in range(rows) for k in range(j, min(j + block, columns))]
            lose(cells, int(amount.value * len(cells)))
        if isinstance(amount, Pattern) and j % amount.group == 0:
            for i in range(rows):
                lose([(i, k) for k in range(j, j + amount.group)], amount.group - amount.keep)
        left = torch.linalg.inv(h[j:, j:])
        for i in range(rows):
            if not keep[i, j]:
                w[i, j:] -= w[i, j] / left[0, 0] * left[0]
                w[i, j] = 0
    return w
