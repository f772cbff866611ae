"""SparseGPT on calibration text that says little or is extreme: finite weights and the exact share, or a sentence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from probes.calibration.samples import CalibrationSamples
from probes.prune import apply as applying
from probes.prune.apply import apply
from probes.prune.sparsegpt import inverse_factor, sparsegpt
from probes.schema.header import Calibration
from probes.schema.prune_setting import Pattern, Ratio, parse
from probes.twin.twin import Twin
from tests.support.mixed_layers import loaded
from tests.support.tiny import moved, tiny


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def pruned(inputs: Tensor, amount: Ratio | Pattern, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A dense and a pruned matrix, and which of its inputs never spoke, through what a walk calls."""
    weight = (0.1 * numbers(48, inputs.shape[1])).to(dtype)
    x = inputs.to(dtype).float()
    factor, dead = inverse_factor(2 / len(x) * x.T @ x, "up_proj")
    return weight, sparsegpt(torch.where(dead, 0, weight), factor, amount).to(dtype), dead


def few() -> Tensor:
    return numbers(8, 64)


def with_dead_inputs() -> Tensor:
    x = numbers(200, 64)
    x[:, 5:25] = 0
    return x


def with_an_outlier() -> Tensor:
    x = numbers(200, 64)
    x[17, 3] = 1e4
    return x


def with_a_loud_input() -> Tensor:
    x = numbers(8, 64)
    x[:, 3] *= 1e4
    x[:, 40:] = 0
    return x


@pytest.mark.parametrize(
    "inputs", [few, with_dead_inputs, with_an_outlier, with_a_loud_input], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("amount", [Ratio(0.5), Pattern(2, 4)], ids=str)
def test_the_share_is_exact_and_all_is_finite(inputs: object, dtype: torch.dtype, amount: Ratio | Pattern) -> None:
    assert callable(inputs)
    weight, found, dead = pruned(inputs(), amount, dtype)
    assert found.isfinite().all()
    zeros, half = int((found == 0).sum()), weight.numel() // 2
    if dead.any():
        assert not found[:, dead].any()
        assert half <= zeros <= half + int(dead.sum()) * len(weight)
    else:
        assert zeros == half
    # What is kept is corrected, but not by orders of magnitude.
    assert found.float().abs().max() < 20 * weight.float().abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", ["eight tokens", "an outlier", "dead inputs"])
def test_a_model_is_pruned_by_half(case: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.arange(1, 9).unsqueeze(0) if case == "eight tokens" else torch.randint(1, 128, (4, 16))
    info = Calibration("a few tokens", ids.shape[0], ids.shape[1], None, "x")
    monkeypatch.setattr(applying, "samples", lambda *_: CalibrationSamples(ids, info))
    model = moved(tiny("llama", num_attention_heads=4), dtype)
    norm = model.model.layers[1].post_attention_layernorm.weight
    if case == "an outlier":
        norm[7] = 1e4
    elif case == "dead inputs":
        norm[5:12] = 0
    dense = loaded(model)
    twin = Twin(model)
    report = apply(twin, parse("sparsegpt:0.5"), dense, keep=False)
    assert report.zeroed == report.targeted // 2
    assert not any("more than its share" in note for note in report.notes)
    with torch.inference_mode():
        assert twin.model(input_ids=ids, use_cache=False).logits.isfinite().all()


def test_inputs_that_never_speak_beyond_the_share_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.arange(1, 9).unsqueeze(0)
    monkeypatch.setattr(applying, "samples", lambda *_: CalibrationSamples(ids, Calibration("a few", 1, 8, None, "x")))
    model = tiny("llama")
    model.model.layers[1].post_attention_layernorm.weight[5:25] = 0
    twin = Twin(model)
    report = apply(twin, parse("sparsegpt:0.5"), loaded(model), keep=False)
    shares = {row.name: row.sparsity for row in report.matrices}
    assert shares["model.layers.1.mlp.up_proj"] == 20 / 32
    assert shares["model.layers.1.self_attn.q_proj"] == 0.5
    (note,) = [note for note in report.notes if "more than its share" in note]
    assert "from 2 of 21 matrices (model.layers.1.mlp.gate_proj, …)" in note
