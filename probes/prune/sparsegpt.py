"""SparseGPT: prunes a matrix column by column and corrects what remains for what was removed.

Frantar & Alistarh 2023, arXiv 2301.00774, algorithm 1. With H the Hessian of the squared error of the outputs,
removing weight w_j costs w_j² / [H⁻¹]_jj (equation 3, over the columns not yet done), and the best correction of
the weights further right is -w_j / [H⁻¹]_jj · [H⁻¹]_j,: . The rows of the upper Cholesky factor of H⁻¹ are those
inverses' rows, scaled, for all columns at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from probes.errors import Failure
from probes.prune.criteria import check_groups, keep_in_matrix, keep_pattern
from probes.prune.setting import Pattern, Ratio

DAMPING = 0.01
"""Of the mean of H's diagonal, added to the diagonal."""
BLOCK = 128
"""Columns among which an unstructured mask is chosen at a time, and after which the rest is corrected at once."""


def sparsegpt(weight: Tensor, factor: Tensor, amount: Ratio | Pattern) -> Tensor:
    """The pruned and corrected matrix, (outputs, inputs), float32.

    `factor` (inputs, inputs) is what `inverse_factor` made of the Hessian. Of a ratio, ⌊ratio · size⌋ weights of
    each block of columns go, whichever rows they are in; of a pattern, the cheapest of each group of neighbours.
    """
    check_groups(weight.shape[1], amount)
    # Inputs first, so that what is taken out and corrected together lies together in memory.
    remaining = weight.detach().float().T.clone(memory_format=torch.contiguous_format)
    factor = factor.to(weight.device)
    step = BLOCK if isinstance(amount, Ratio) else BLOCK - BLOCK % amount.group or amount.group
    for start in range(0, len(remaining), step):
        end = min(start + step, len(remaining))
        errors = _prune_block(remaining[start:end], factor[start:end, start:end], amount)
        remaining[end:].addmm_(factor[start:end, end:].T, errors, alpha=-1)
    return remaining.T.contiguous()


def _prune_block(block: Tensor, factor: Tensor, amount: Ratio | Pattern) -> Tensor:
    """Prunes a block of inputs in place, (inputs, outputs), and gives the errors that the others must make up for."""
    diagonal = factor.diagonal()
    errors = torch.zeros_like(block)
    keep = torch.ones_like(block, dtype=torch.bool)
    if isinstance(amount, Ratio):
        cost = _cost(block, diagonal)
        keep = keep_in_matrix(cost.T.contiguous(), amount.value).T
    for j in range(len(block)):
        if isinstance(amount, Pattern) and j % amount.group == 0:
            group = slice(j, j + amount.group)
            keep[group] = keep_pattern(_cost(block[group], diagonal[group]).T.contiguous(), amount).T
        errors[j] = torch.where(keep[j], 0, block[j]) / diagonal[j]
        block[j].mul_(keep[j])
        block[j + 1 :].addr_(factor[j, j + 1 :], errors[j], alpha=-1)
    return errors


def inverse_factor(hessian: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The upper Cholesky factor of the damped Hessian's inverse, and which inputs never spoke (True, (inputs,)).

    Inputs that were 0 throughout get a 1 on the diagonal; their weights can go at no cost. Raises `Failure` where
    the activations are not finite, or the damped Hessian has no inverse even with a hundred times the damping.
    """
    hessian = hessian.clone()
    if not bool(torch.isfinite(hessian).all()):
        raise Failure(
            "Not finite", f"The activations that enter {name} are not all finite.", "Load the model in float32."
        )
    diagonal = hessian.diagonal()
    dead = diagonal == 0
    diagonal[dead] = 1
    damping = DAMPING * float(diagonal.mean())
    for _ in range(3):
        diagonal += damping
        lower, failed = torch.linalg.cholesky_ex(hessian)
        if not int(failed):
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not int(failed):
                return upper, dead
        damping *= 10
    raise Failure(
        "No inverse",
        f"The Hessian of {name} can't be inverted: its calibration text says too little.",
        "Use more calibration samples.",
    )


def _cost(block: Tensor, diagonal: Tensor) -> Tensor:
    """w² / [H⁻¹]_jj of each weight: the factor's diagonal squared is the inverse's, over the inputs not yet done."""
    return block.square() / diagonal.square().unsqueeze(-1)
