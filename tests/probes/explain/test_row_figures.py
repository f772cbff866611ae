"""The figures of many rows are those of a step, to rounding, and exactly those of equal rows."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from probes.explain.row_figures import compare_plainly, compare_rows

ROWS, TOKENS = 6, 1000


def rows(seed: int, apart: float) -> tuple[Tensor, ...]:
    """Hidden states and logits of two models that differ by about so much."""
    made = torch.Generator().manual_seed(seed)
    h, z = torch.randn(ROWS, 32, generator=made), 3 * torch.randn(ROWS, TOKENS, generator=made)
    return (
        h,
        z,
        h + apart * torch.randn(ROWS, 32, generator=made),
        z + apart * torch.randn(ROWS, TOKENS, generator=made),
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("apart", [1e-4, 0.1, 1.0, 30.0])
def test_every_figure_is_that_of_a_step(apart: float, temperature: float) -> None:
    h, z, h2, z2 = rows(1, apart)
    (found,) = compare_rows(h, z, (h2, z2), temperature=temperature)
    for one, other in zip(found, compare_plainly(h, z, h2, z2, temperature), strict=True):
        assert (one.top, one.top_pruned) == (other.top, other.top_pruned)
        for space, expected in asdict(other.figures).items():
            assert asdict(one.figures)[space] == pytest.approx(expected, rel=1e-6, abs=1e-14)


def test_several_are_compared_with_one() -> None:
    h, z, h2, z2 = rows(2, 0.3)
    both = compare_rows(h, z, (h2, z2), (h, z), temperature=1.0)
    assert both == (
        compare_rows(h, z, (h2, z2), temperature=1.0)[0],
        compare_rows(h, z, (h, z), temperature=1.0)[0],
    )


@pytest.mark.parametrize("shift", [0.0, 64.0])
def test_equal_rows_and_a_constant_in_all_logits_give_exactly_0(shift: float) -> None:
    h, z, *_ = rows(3, 0.0)
    z = (z * 1024).round() / 1024  # so that adding the constant does not round
    (found,) = compare_rows(h, z, (h, z + shift), temperature=1.0)
    for one in found:
        p, logits = one.figures.p, one.figures.z
        assert (p.kl, p.kl_reverse, p.js, p.tv, p.kl_estimate, p.cos_estimate) == (0, 0, 0, 0, 0, 0)
        assert (p.cos, logits.cos_centred, logits.rms_centred, one.figures.h.cos) == (1, 1, 0, 1)
        assert (p.rank_dense_in_pruned, p.topk_overlap) == (1, 1)
        assert logits.max_abs == shift


@pytest.mark.parametrize("kind", ["zero", "constant", "ties", "far", "beyond exp"])
def test_rows_that_need_the_plain_way_get_it(kind: str) -> None:
    h, z, h2, z2 = rows(4, 0.2)
    if kind == "zero":
        z = torch.zeros_like(z)
    elif kind == "constant":
        z = torch.full_like(z, 7.0)
    elif kind == "ties":
        z = z.clamp_max(1.0)
    else:
        z2 = z2.clone()
        z2[:, 5], z[:, 5] = (90.0, -90.0) if kind == "far" else (900.0, -900.0)
    (found,) = compare_rows(h, z, (h2, z2), temperature=1.0)
    for one, other in zip(found, compare_plainly(h, z, h2, z2, 1.0), strict=True):
        for space, expected in asdict(other.figures).items():
            assert asdict(one.figures)[space] == pytest.approx(expected, rel=1e-9, nan_ok=True)
