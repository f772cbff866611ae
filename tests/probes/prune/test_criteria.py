"""Masks are exact in number, and are the papers' own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from probes.prune import criteria
from probes.prune.global_threshold import global_threshold
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import Pattern


def tied(rows: int, columns: int, seed: int, values: int = 5) -> Tensor:
    """Scores with many ties."""
    return torch.randint(0, values, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()


@given(st.integers(1, 6), st.integers(1, 30), st.floats(0.01, 1), st.integers(0, 99))
def test_rows_lose_their_lowest_and_of_equals_the_first(rows: int, columns: int, ratio: float, seed: int) -> None:
    scores = tied(rows, columns, seed)
    keep = criteria.keep_in_rows(scores, ratio)
    for row in range(rows):
        order = sorted(range(columns), key=lambda j: (float(scores[row, j]), j))
        gone = set(order[: criteria.removed(ratio, columns)])
        assert {j for j in range(columns) if not keep[row, j]} == gone


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 7), st.integers(0, 99))
def test_a_pattern_holds_in_every_group(rows: int, groups: int, keep: int, seed: int) -> None:
    pattern = Pattern(keep, 8)
    scores = tied(rows, groups * 8, seed)
    mask = criteria.keep_pattern(scores, pattern).view(rows, groups, 8)
    assert (mask.sum(-1) == keep).all()
    kept = torch.where(mask, scores.view(mask.shape), torch.inf).amin(-1)
    lost = torch.where(mask, -torch.inf, scores.view(mask.shape)).amax(-1)
    assert (lost <= kept).all()


def test_a_ratio_is_the_decimal_it_was_written_as() -> None:
    assert criteria.removed(0.29, 100) == 29  # 0.29 * 100 is 28.999999999999996
    assert criteria.removed(0.5, 7) == 3
    assert criteria.removed(1.0, 7) == 7


def test_wanda_is_weight_times_the_norm_of_its_input() -> None:
    weight, inputs = torch.randn(3, 4), torch.randn(10, 4)
    scores = criteria.wanda(weight, inputs.norm(dim=0))
    for i in range(3):
        for j in range(4):
            slow = abs(float(weight[i, j])) * sum(float(x) ** 2 for x in inputs[:, j]) ** 0.5
            assert float(scores[i, j]) == pytest.approx(slow, rel=1e-5)


def test_random_scores_depend_on_seed_and_name_only() -> None:
    weight = torch.zeros(4, 5)
    one = criteria.random(weight, "a", 1)
    torch.rand(7)
    assert torch.equal(one, criteria.random(weight + 1, "a", 1))
    assert not torch.equal(one, criteria.random(weight, "b", 1))
    assert not torch.equal(one, criteria.random(weight, "a", 2))


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=5), st.floats(0.01, 1), st.booleans()
)
def test_the_global_bound_is_that_of_all_scores_sorted(
    shapes: list[tuple[int, int]], ratio: float, with_ties: bool
) -> None:
    scores = {}
    for number, shape in enumerate(shapes):
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(number)).abs()
        scores[str(number)] = drawn.mul(3).round() if with_ties else drawn
    bound = global_threshold({name: lambda s=s: s for name, s in scores.items()}, ratio)
    keep = torch.cat([bound.keep(name, s).flatten() for name, s in scores.items()])
    together = torch.cat([s.flatten() for s in scores.values()])
    assert torch.equal(keep, criteria.keep_in_matrix(together.unsqueeze(0), ratio).flatten())


def test_bfloat16_is_ranked_in_float32() -> None:
    weight = torch.tensor([[1.0, 1.0078125, 0.5]], dtype=torch.bfloat16)
    norms = torch.tensor([1.001, 1.0, 3.0])
    assert criteria.keep_highest(criteria.wanda(weight, norms), 1).tolist() == [[False, True, True]]


def test_what_can_not_be_ranked_is_refused() -> None:
    with pytest.raises(BadInput, match="groups of 4"):
        criteria.keep_pattern(torch.rand(2, 6), Pattern(2, 4))
    with pytest.raises(Failure, match="up_proj"):
        criteria.check_finite(torch.tensor([1.0, torch.nan]), "up_proj")
