"""SparseGPT against a slow reading of its equations that inverts the remaining Hessian anew for every column."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from probes.prune import sparsegpt as module
from probes.prune.criteria import keep_pattern, magnitude
from probes.prune.sparsegpt import inverse_factor, sparsegpt
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import Pattern, Ratio
from tests.support.slow_pruning import hessian, sparsegpt_slowly


def correlated(tokens: int, features: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(features, features, generator=generator)
    return torch.randn(tokens, features, generator=generator) @ (mix / features**0.5 + torch.eye(features))


@pytest.mark.parametrize("amount", [Ratio(0.5), Ratio(0.3), Pattern(2, 4), Pattern(1, 4)], ids=str)
@pytest.mark.parametrize("block", [4, 8, 128])
def test_the_fast_way_is_the_slow_way(amount: Ratio | Pattern, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_COLUMNS", block)
    weight, h = torch.randn(5, 12, generator=torch.Generator().manual_seed(3)), hessian(correlated(60, 12))
    factor, _ = inverse_factor(h, "layer")
    fast = sparsegpt(weight, factor, amount)
    slow = sparsegpt_slowly(weight, h, amount, block)
    assert torch.equal(fast == 0, slow == 0)
    torch.testing.assert_close(fast.double(), slow, rtol=1e-3, atol=1e-4)


def test_the_factor_is_of_the_inverse_and_dead_inputs_are_named() -> None:
    inputs = correlated(50, 6)
    inputs[:, 2] = 0
    h = hessian(inputs)
    factor, dead = inverse_factor(h, "layer")
    assert dead.tolist() == [False, False, True, False, False, False]
    damped = h.clone()
    damped[2, 2] = 1
    damped += torch.eye(6) * 0.01 * damped.diagonal().mean()
    torch.testing.assert_close(factor.T @ factor, torch.linalg.inv(damped), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("amount", [Ratio(0.5), Pattern(2, 4)], ids=str)
def test_what_is_corrected_leaf_by_leaf_and_block_by_block_is_exact_too(amount: Ratio | Pattern) -> None:
    weight, h = torch.randn(6, 152, generator=torch.Generator().manual_seed(5)), hessian(correlated(900, 152))
    fast, slow = sparsegpt(weight, inverse_factor(h, "layer")[0], amount), sparsegpt_slowly(weight, h, amount)
    assert torch.equal(fast == 0, slow == 0)
    torch.testing.assert_close(fast.double(), slow, rtol=1e-3, atol=1e-4)


def test_its_error_is_below_that_of_a_mask_alone() -> None:
    weight, inputs = torch.randn(32, 64, generator=torch.Generator().manual_seed(1)), correlated(500, 64)
    pruned = sparsegpt(weight, inverse_factor(hessian(inputs), "layer")[0], Pattern(2, 4))
    masked = torch.where(keep_pattern(magnitude(weight), Pattern(2, 4)), weight, 0)
    assert ((weight - pruned) @ inputs.T).norm() < 0.9 * ((weight - masked) @ inputs.T).norm()
    assert ((pruned.view(32, -1, 4) != 0).sum(-1) <= 2).all()


def test_what_has_no_inverse_is_refused() -> None:
    with pytest.raises(Failure, match="not all finite"):
        inverse_factor(torch.full((3, 3), torch.nan), "layer")
    with pytest.raises(BadInput, match="groups of 4"):
        sparsegpt(torch.randn(2, 6), torch.eye(6), Pattern(2, 4))
