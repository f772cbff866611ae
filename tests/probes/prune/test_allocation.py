"""How much goes from which matrix: OWL against a slow reading of its definition, and parts that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from probes.calibration.samples import samples
from probes.models.loaded import Loaded
from probes.prune import block_walk as blocks
from probes.prune.allocation import owl_ratios
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import Ratio
from probes.twin.anatomy import Matrix, dissect, weight
from tests.support.allocation import MATRICES, allocated, amounts
from tests.support.prune_models import FEW, loaded, logits, pruned

LAMBDA, M = Fraction(8, 100), 5
"""The spread, and from how many times the mean on a score is an outlier."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(blocks, "BATCH_TOKENS", 60)


def outliers_slowly(scores: Sequence[Tensor]) -> Fraction:
    """D: the share of one layer's scores above M times their mean, counted one by one."""
    values = [Fraction(value) for score in scores for value in score.flatten().tolist()]
    mean = sum(values, Fraction()) / len(values)
    return Fraction(sum(value > M * mean for value in values), len(values))


def owl_slowly(ratio: float, outliers: dict[int, Fraction], sizes: dict[int, int]) -> dict[int, float]:
    """What is kept of a layer is a·D + b: a spreads it over 2λ, and b makes the kept weights those of the budget."""
    spread = max(outliers.values()) - min(outliers.values())
    a = 2 * LAMBDA / spread if spread else Fraction()
    total = sum(sizes.values())
    b = 1 - Fraction(ratio) - a * sum(outliers[layer] * sizes[layer] for layer in sizes) / total
    return {layer: float(1 - (a * d + b)) for layer, d in outliers.items()}


# OWL ------------------------------------------------------------------------------------------------------------

layers = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10**9)), min_size=1, max_size=12)


@given(layers, st.floats(0.16, 0.84))
def test_owl_ratios_are_the_papers(found: list[tuple[int, int]], ratio: float) -> None:
    outliers = {layer: Fraction(d, 50) for layer, (d, _) in enumerate(found)}
    sizes = {layer: size for layer, (_, size) in enumerate(found)}
    mine = owl_ratios(ratio, {layer: float(d) for layer, d in outliers.items()}, sizes)
    assert mine == pytest.approx(owl_slowly(ratio, outliers, sizes), abs=1e-9)


@given(layers, st.floats(0.001, 1))
def test_owl_keeps_the_budget_and_its_order_at_any_ratio(found: list[tuple[int, int]], ratio: float) -> None:
    outliers = {layer: d / 50 for layer, (d, _) in enumerate(found)}
    sizes = {layer: size for layer, (_, size) in enumerate(found)}
    mine = owl_ratios(ratio, outliers, sizes)
    assert sum(mine[layer] * sizes[layer] for layer in mine) / sum(sizes.values()) == pytest.approx(ratio, abs=1e-9)
    assert all(-1e-9 < value < 1 + 1e-9 for value in mine.values())
    for one in mine:
        for other in mine:
            if outliers[one] > outliers[other]:
                assert mine[one] < mine[other] or min(ratio, 1 - ratio) < 1e-12
            if outliers[one] == outliers[other]:
                assert mine[one] == mine[other]


@pytest.mark.parametrize(("ratio", "spread"), [(0.5, 0.16), (0.05, 0.05), (0.97, 0.03), (1.0, 0.0)])
def test_near_none_and_all_the_spread_is_narrowed_to_what_there_is(ratio: float, spread: float) -> None:
    for outliers in ({0: 0.0, 1: 0.2, 2: 0.1}, {0: 0.0, 1: 0.001, 2: 0.0}):
        mine = owl_ratios(ratio, outliers, {0: 10, 1: 1000, 2: 10})
        assert max(mine.values()) - min(mine.values()) == pytest.approx(spread)


def test_layers_with_as_many_outliers_lose_as_much() -> None:
    assert owl_ratios(0.5, {0: 0.25, 1: 0.25}, {0: 1, 1: 9}) == {0: 0.5, 1: 0.5}


def heavy(matrices: Sequence[Matrix]) -> list[Tensor]:
    """Scores with more outliers the later the layer; matrices of different sizes."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for number, matrix in enumerate(matrices):
        score = torch.rand(8, 10 + 5 * (number % 3), generator=generator)
        score[torch.rand(score.shape, generator=generator) < 0.01 + 0.03 * matrix.layer] += 20
        drawn.append(score)
    return drawn


def test_a_layers_outliers_are_counted_over_all_its_matrices() -> None:
    asked: list[list[str]] = []

    def scores(matrices: Sequence[Matrix]) -> Iterable[Tensor]:
        asked.append([matrix.name for matrix in matrices])
        return iter(heavy(matrices))

    found = allocated("wanda:owl=0.6@mlp", scores)
    mlp = [matrix for matrix in MATRICES if matrix.sublayer == "mlp"]
    assert asked == [[matrix.name for matrix in mlp]]
    by_layer = {
        layer: [score for matrix, score in zip(mlp, heavy(mlp), strict=True) if matrix.layer == layer]
        for layer in range(3)
    }
    outliers = {layer: outliers_slowly(held) for layer, held in by_layer.items()}
    expected = owl_slowly(0.6, outliers, {layer: sum(s.numel() for s in held) for layer, held in by_layer.items()})
    assert expected[0] > expected[1] > expected[2]
    assert list(found) == [matrix.name for matrix in mlp]
    for share in found.values():
        assert isinstance(share.amount, Ratio)
        assert share.amount.value == pytest.approx(expected[share.matrix.layer], abs=1e-9)


def with_outliers(architecture: str) -> Loaded:
    """A model whose layers differ in how many of their weights are large."""
    dense = loaded(architecture)
    generator = torch.Generator().manual_seed(1)
    for matrix in dissect(dense.model).matrices:
        stored = weight(dense.model, matrix)
        stored[torch.rand(stored.shape, generator=generator) < (0.02, 0.05, 0.0)[matrix.layer]] *= 25
    return dense


def scores_slowly(dense: Loaded, matrices: Sequence[Matrix]) -> dict[int, list[Tensor]]:
    """|w|·‖x‖ of each matrix, float64, by layer: on the dense model, a sample at a time."""
    ids = samples(FEW, dense).ids
    seen: dict[str, list[Tensor]] = {}
    names = [matrix.name for matrix in matrices]
    with blocks.watched(dense.model, names, lambda name, x: seen.setdefault(name, []).append(x.double())):
        for sample in ids:
            logits(dense.model, sample.unsqueeze(0))
    found: dict[int, list[Tensor]] = {}
    for matrix in matrices:
        norms = torch.cat(seen[matrix.name]).square().sum(0).sqrt()
        found.setdefault(matrix.layer, []).append(weight(dense.model, matrix).double().abs() * norms)
    return found


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize(("setting", "ratio"), [("wanda:owl=0.5", 0.5), ("magnitude:owl=0.7@mlp", 0.7)])
def test_owl_is_carried_out_within_rounding_on_dense_activations(architecture: str, setting: str, ratio: float) -> None:
    dense = with_outliers(architecture)
    matrices = [m for m in dissect(dense.model).matrices if m.sublayer == "mlp" or "@mlp" not in setting]
    by_layer = scores_slowly(dense, matrices)
    sizes = {layer: sum(score.numel() for score in held) for layer, held in by_layer.items()}
    outliers = {layer: outliers_slowly(held) for layer, held in by_layer.items()}
    expected = owl_slowly(ratio, outliers, sizes)
    _, report = pruned(dense, setting)
    assert [matrix.name for matrix in report.matrices] == [matrix.name for matrix in matrices]
    ranked = 0
    for matrix in report.matrices:
        lines = matrix.rows if setting.startswith("wanda") else 1  # what is ranked together
        assert matrix.zeros == lines * int(expected[matrix.layer] * matrix.rows * matrix.columns / lines)
        ranked += lines
    assert 0 <= ratio * report.targeted - report.zeroed <= ranked
    sparsity = {matrix.layer: matrix.sparsity for matrix in report.matrices}
    assert len(set(outliers.values())) == 3
    assert sorted(sparsity, key=sparsity.__getitem__) == sorted(outliers, key=outliers.__getitem__, reverse=True)


def test_owl_refuses_scores_that_are_not_finite() -> None:
    dense = loaded("llama")
    dense.model.get_submodule("model.layers.1.mlp.up_proj").weight.data[0, 0] = torch.nan
    with pytest.raises(Failure):
        pruned(dense, "magnitude:owl=0.5")


# Parts ----------------------------------------------------------------------------------------------------------


def test_of_parts_that_overlap_the_last_decides(tmp_path: Path) -> None:
    table = tmp_path / "amounts.txt"
    table.write_text("down_proj 0.3\n")
    setting = f"wanda:0.5@mlp+magnitude:2:4@layers=1+random:table={table}@layers=1,2"
    assert amounts(setting) == {
        "0.up_proj": "wanda 0.5",
        "0.down_proj": "wanda 0.5",
        "1.q_proj": "magnitude 2:4",
        "1.o_proj": "magnitude 2:4",
        "1.up_proj": "magnitude 2:4",
        "1.down_proj": "random 0.3",
        "2.up_proj": "wanda 0.5",
        "2.down_proj": "random 0.3",
    }
    names = [matrix.name for matrix in MATRICES]
    assert list(allocated(setting)) == sorted(allocated(setting), key=names.index)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("wanda:0.5@layers=2-4", "layer 3-4, which has no such sublayer (or it is dropped). Layers in use: 0-2"),
        ("wanda:0.5+magnitude:0.3@layers=9@attn", "magnitude:0.3@attn@layers=9 names layer 9"),
        (
            "wanda:0.5@name=up_proj,gate_proj",
            "'gate_proj', which is not a matrix of the model. Names of matrices: down_proj, o_",
        ),
        ("wanda:0.5@name=proj", "'proj', which is not a matrix of the model"),
        ("wanda:0.5@attn@name=up_proj", "'up_proj', which is not a matrix of the model"),
        ("wanda:0.5@layers=1@name=model.layers.2.mlp.up_proj", "is not a matrix of the model"),
    ],
)
def test_what_does_not_exist_is_named_beside_what_does(setting: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        allocated(setting)
    assert reason in str(caught.value)


def test_where_no_matrix_is_in_use_a_part_matches_none() -> None:
    attention = [matrix for matrix in MATRICES if matrix.sublayer == "attn"]
    with pytest.raises(BadInput, match=r"wanda:0\.5@mlp matches no matrix"):
        allocated("wanda:0.5@mlp", matrices=attention)
