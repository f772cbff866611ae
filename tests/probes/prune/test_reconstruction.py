"""On real layers, each method that knows more loses less of what a matrix computes on the calibration text itself.

On other text this need not hold with so few tokens: SparseGPT's correction fits those it has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from probes.calibration import own_text
from probes.models.loaded import Loaded
from probes.prune import criteria
from probes.prune.activations import Hessians, Norms
from probes.prune.block_walk import stream, watched
from probes.prune.sparsegpt import inverse_factor, sparsegpt
from probes.schema.prune_setting import Pattern, Ratio
from probes.system.progress import Work

pytestmark = pytest.mark.demo

NAMES = [
    f"model.layers.{layer}.{name}" for layer in (3, 20) for name in ("self_attn.q_proj", "mlp.up_proj", "mlp.down_proj")
]
SAMPLES, LENGTH = 8, 128


@dataclass(frozen=True)
class Activations:
    """What enters the dense model's matrices."""

    inputs: Mapping[str, Tensor]
    """(tokens, inputs) of each matrix."""
    norms: Norms
    hessians: Hessians


@pytest.fixture(scope="module")
def dense(demo: Loaded) -> Activations:
    ids = own_text.shipped(0, SAMPLES, LENGTH)
    assert ids is not None
    inputs: dict[str, list[Tensor]] = {}
    norms, hessians = Norms(), Hessians()

    def see(name: str, x: Tensor) -> None:
        inputs.setdefault(name, []).append(x.clone())
        norms.see(name, x)
        hessians.see(name, x)

    with watched(demo.model, NAMES, see):
        stream(demo.model, ids, work=Work(), task="Measuring")
    return Activations({name: torch.cat(found) for name, found in inputs.items()}, norms, hessians)


def keep(scores: Tensor, amount: Ratio | Pattern, *, in_rows: bool) -> Tensor:
    if isinstance(amount, Pattern):
        return criteria.keep_pattern(scores, amount)
    return (criteria.keep_in_rows if in_rows else criteria.keep_in_matrix)(scores, amount.value)


@pytest.mark.parametrize("name", NAMES)
def test_sparsegpt_loses_less_than_wanda_and_wanda_less_than_magnitude(
    name: str, dense: Activations, demo: Loaded
) -> None:
    weight = demo.model.get_submodule(name).weight.detach()
    inputs = dense.inputs[name]
    assert inputs.shape == (SAMPLES * LENGTH, weight.shape[1])
    exact = inputs @ weight.T
    factor, dead = inverse_factor(dense.hessians.total(name) * (2 / dense.hessians.tokens(name)), name)
    assert not dead.any()

    def error(pruned: Tensor) -> float:
        """‖XW'ᵀ - XWᵀ‖ / ‖XWᵀ‖"""
        return float((inputs @ pruned.T - exact).norm() / exact.norm())

    half, zeros = weight.numel() // 2, int((weight == 0).sum())  # a pattern may keep a weight that is 0 anyway
    wanda, magnitude = criteria.wanda(weight, dense.norms.norms(name)), criteria.magnitude(weight)
    lost: dict[str, list[float]] = {}
    for amount in (Ratio(0.5), Pattern(2, 4)):
        candidates = [
            sparsegpt(weight, factor, amount),
            torch.where(keep(wanda, amount, in_rows=True), weight, 0),
            torch.where(keep(magnitude, amount, in_rows=False), weight, 0),
        ]
        assert all(half <= int((pruned == 0).sum()) <= half + zeros for pruned in candidates)
        lost[str(amount)] = [error(pruned) for pruned in candidates]
    for errors in lost.values():
        assert 0 < errors[0] < errors[1] < errors[2] < 1
    assert all(free < bound for free, bound in zip(*lost.values(), strict=True))  # a pattern leaves less choice
