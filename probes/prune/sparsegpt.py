"""SparseGPT: prunes a matrix column by column and corrects what remains for what was removed.

Frantar & Alistarh 2023, arXiv 2301.00774, algorithm 1. With H the Hessian of the squared error of the outputs, removing
weight w_j costs w_j² / [H⁻¹]_jj (equation 3, over the columns not yet done), and the best correction of the weights
further right is -w_j / [H⁻¹]_jj · [H⁻¹]_j,: . The rows of the upper Cholesky factor of H⁻¹ are the scaled rows of these
inverses, for all columns at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from probes.prune.criteria import check_groups, keep_in_matrix, keep_pattern
from probes.schema.errors import Failure
from probes.schema.prune_setting import Pattern, Ratio

DAMPING = 0.01
"""The share of the mean of H's diagonal that is added to the diagonal."""
BLOCK_COLUMNS = 128
"""Columns of one block: an unstructured mask is chosen within a block, and the columns after it are corrected at
once."""
LEAF = 1 << 15
"""Weights of one leaf: its columns are corrected one by one, the rest of the block in one product. torch computes so
few weights with one thread, because waiting for other threads would cost more."""


def sparsegpt(weight: Tensor, factor: Tensor, amount: Ratio | Pattern) -> Tensor:
    """The pruned and corrected matrix, (outputs, inputs), float32.

    `factor` (inputs, inputs) is `inverse_factor` of the Hessian. A ratio removes ⌊ratio · size⌋ weights of each block
    of columns, whichever rows they are in; a pattern removes the cheapest of each group of neighbours.
    """
    check_groups(weight.shape[1], amount)
    # Inputs first, so that weights removed and corrected together are neighbours in memory.
    remaining = weight.detach().float().T.clone(memory_format=torch.contiguous_format)
    factor = factor.to(weight.device)
    for part in _stretches(len(remaining), BLOCK_COLUMNS, amount):
        errors = _prune_block(remaining[part], factor[part, part], amount)
        remaining[part.stop :].addmm_(factor[part, part.stop :].T, errors, alpha=-1)
    return remaining.T.contiguous()


def _prune_block(block: Tensor, factor: Tensor, amount: Ratio | Pattern) -> Tensor:
    """Prunes a block of inputs in place, (inputs, outputs), and returns the errors that later columns must
    compensate."""
    errors = torch.empty_like(block)
    chosen = None
    if isinstance(amount, Ratio):
        chosen = keep_in_matrix(_cost(block, factor.diagonal()).T.contiguous(), amount.value).T
    for leaf in _stretches(len(block), max(16, LEAF // block.shape[1]), amount):
        _prune_leaf(block[leaf], factor[leaf, leaf], amount, None if chosen is None else chosen[leaf], errors[leaf])
        block[leaf.stop :].addmm_(factor[leaf, leaf.stop :].T, errors[leaf], alpha=-1)
    return errors


def _prune_leaf(leaf: Tensor, factor: Tensor, amount: Ratio | Pattern, chosen: Tensor | None, errors: Tensor) -> None:
    """Prunes a few inputs in place, one after another, and fills in their errors: 0 for kept weights.

    `chosen` is the mask if it is decided already; a pattern's mask is chosen group by group.
    """
    diagonal = factor.diagonal()
    keep = torch.empty_like(leaf, dtype=torch.bool) if chosen is None else chosen
    for begin in range(0, len(leaf), amount.group if isinstance(amount, Pattern) else len(leaf)):
        end = len(leaf)
        if isinstance(amount, Pattern):
            end = begin + amount.group
            here = _cost(leaf[begin:end], diagonal[begin:end])
            keep[begin:end] = keep_pattern(here.T.contiguous(), amount).T
        divisors = torch.where(keep[begin:end], torch.inf, diagonal[begin:end].unsqueeze(-1))
        for j in range(begin, end):
            torch.div(leaf[j], divisors[j - begin], out=errors[j])
            leaf[j + 1 :].addr_(factor[j, j + 1 :], errors[j], alpha=-1)
    leaf.masked_fill_(~keep, 0)


def _stretches(inputs: int, most: int, amount: Ratio | Pattern) -> Iterator[slice]:
    """Slices of at most `most` inputs that split no group of a pattern."""
    step = most if isinstance(amount, Ratio) else most - most % amount.group or amount.group
    for start in range(0, inputs, step):
        yield slice(start, min(start + step, inputs))


def inverse_factor(hessian: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The upper Cholesky factor of the damped Hessian's inverse, and which inputs were always 0 (True, (inputs,)).

    Inputs that were always 0 get a 1 on the diagonal; removing their weights costs nothing. Raises `Failure` if the
    activations are not finite, or the damped Hessian has no inverse even with a hundred times the damping.
    """
    if not bool(torch.isfinite(hessian).all()):
        raise Failure(
            "Not finite", f"The activations that enter {name} are not all finite.", "Load the model in float32."
        )
    # With J reversing the order of inputs, JHJ = LLᵀ gives H⁻¹ = UᵀU with U = JL⁻¹J, so H⁻¹ is never formed. At most
    # three matrices of this size exist at a time.
    dead = hessian.diagonal() == 0
    damped = hessian.flip(0, 1)
    del hessian
    diagonal = damped.diagonal()
    diagonal[dead.flip(0)] = 1
    damping = DAMPING * float(diagonal.mean())
    for _ in range(3):
        diagonal += damping
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not int(failed):
            del damped, diagonal
            inverse = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
            torch.linalg.solve_triangular(lower, inverse, upper=False, out=inverse)
            del lower
            return inverse.flip(0, 1), dead
        damping *= 10
    raise Failure(
        "No inverse",
        f"Too little calibration data: the Hessian of {name} is singular.",
        "Use more calibration samples.",
    )


def _cost(block: Tensor, diagonal: Tensor) -> Tensor:
    """w² / [H⁻¹]_jj of each weight. The squared diagonal of the factor is the inverse's diagonal, over the inputs not
    yet done."""
    return block.square() / diagonal.square().unsqueeze(-1)
