"""Pruning on a GPU: the same masks as on the CPU, undone to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from probes.calibration.samples import samples
from probes.models.loaded import Loaded
from probes.prune.apply import apply
from probes.prune.importance import importance
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec
from probes.system.progress import Work
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState, unpacked
from tests.support.prune_models import loaded, logits
from tests.support.tiny import moved

TEXT = CalibrationSpec(samples=8, length=48)

EXACT = (
    "magnitude:0.5",
    "magnitude:2:4",
    "magnitude-global:0.4",
    "random:0.5",
    "neurons:0.25",
    "heads:0.25",
    "drop-attn:1",
    "drop-mlp:1",
    "drop-block:1",
    "drop-attn-iter:2",
)
"""Settings whose result no rounding should change on models as different from one another as random ones."""
MEASURED = {
    "wanda:0.5": 2e-3,
    "wanda:2:4": 2e-3,
    "wanda-onepass:0.5": 2e-3,
    "wanda:owl=0.5": 2e-3,
    "sparsegpt:0.5": 2e-2,
    "sparsegpt:2:4": 2e-2,
}
"""Settings decided by measured activations, and the share of weights that rounding may decide another way."""


def on(device: torch.device, architecture: str, dtype: torch.dtype = torch.float32) -> Loaded:
    dense = loaded(architecture)
    info = replace(dense.info, device=str(device), dtype=str(dtype).removeprefix("torch."))
    return replace(dense, model=moved(dense.model, device, dtype), info=info)


def calibration(dense: Loaded, on_cpu: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives both the text that the model on the CPU has written: a close call would part the rest of a sample."""
    same = samples(TEXT, on_cpu)
    monkeypatch.setattr("probes.prune.apply.samples", lambda *_: same)


def masks(twin: Twin) -> dict[str, torch.Tensor]:
    return {name: unpacked(change.kept, twin.dense_weight(name).shape) for name, change in twin.state.changes.items()}


def made(dense: Loaded, setting: str) -> Twin:
    twin = Twin(dense.model)
    apply(twin, parse(setting), dense, TEXT, keep=False)
    return twin


def apart(one: Twin, other: Twin) -> float:
    """The share of weights that only one of two twins keeps."""
    ours, theirs = masks(one), masks(other)
    assert ours.keys() == theirs.keys()
    return sum(int((ours[n] ^ theirs[n]).sum()) for n in ours) / max(1, sum(m.numel() for m in ours.values()))


@pytest.mark.parametrize("setting", [*EXACT, *MEASURED])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_the_same_weights_go_as_on_the_cpu(
    architecture: str, setting: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = on(device, architecture), on(torch.device("cpu"), architecture)
    calibration(here, there, monkeypatch)
    twin, other = made(here, setting), made(there, setting)
    assert twin.state.dropped == other.state.dropped
    share = apart(twin, other)
    print(f"{architecture} {setting}: {share:.2e} of the weights differ")  # noqa: T201 - shown by -rP
    assert share <= MEASURED.get(setting, 0)


@pytest.mark.parametrize("setting", ["magnitude:0.5", "magnitude-global:0.4", "random:0.5", "magnitude:2:4"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_ties_are_cut_as_on_the_cpu(setting: str, dtype: torch.dtype, device: torch.device) -> None:
    assert apart(made(on(device, "llama", dtype), setting), made(on(torch.device("cpu"), "llama", dtype), setting)) == 0


@pytest.mark.parametrize("setting", ["wanda:0.5", "sparsegpt:2:4", "neurons:0.25", "wanda:0.5@attn+drop-mlp:1"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_what_is_pruned_and_given_back_is_the_dense_model_to_the_bit(
    setting: str, dtype: torch.dtype, device: torch.device
) -> None:
    dense = on(device, "llama", dtype)
    before = {name: weight.clone() for name, weight in dense.model.state_dict().items()}
    plain = logits_of(dense.model)
    twin = made(dense, setting)
    pruned, state = logits_of(twin.model), twin.state
    assert not torch.equal(pruned, plain)
    assert all(torch.equal(weight, before[name]) for name, weight in dense.model.state_dict().items())
    twin.set_state(TwinState())
    assert torch.equal(logits_of(twin.model), plain)
    own = {weight.data_ptr() for weight in dense.model.state_dict().values()}
    assert all(weight.data_ptr() in own for weight in twin.model.state_dict().values())
    twin.set_state(state)
    assert torch.equal(logits_of(twin.model), pruned)


def logits_of(model: PreTrainedModel) -> torch.Tensor:
    return logits(model, torch.arange(5, 17, device=model.device).unsqueeze(0))


@pytest.mark.parametrize("kind", ["attn", "mlp", "block"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt_neox"])
def test_importance_is_what_it_is_on_the_cpu(architecture: str, kind: str, device: torch.device) -> None:
    ids = torch.randint(5, 200, (6, 40), generator=torch.Generator().manual_seed(0))
    here = importance(Twin(on(device, architecture).model), kind, ids, Work())
    there = importance(Twin(on(torch.device("cpu"), architecture).model), kind, ids, Work())
    assert here == pytest.approx(there, abs=1e-4)


def test_a_large_model_is_pruned_by_what_it_writes_itself(large_loaded: Loaded) -> None:
    twin = Twin(large_loaded.model)
    report = apply(twin, parse("wanda:0.5"), large_loaded, CalibrationSpec(samples=8, length=64), keep=False)
    assert report.zeroed == pytest.approx(report.targeted / 2, rel=0.01)
    assert report.calibration is not None
    first = report.mask_hash
    twin.restore()
    again = apply(twin, parse("wanda:0.5"), large_loaded, CalibrationSpec(samples=8, length=64), keep=False)
    assert again.mask_hash == first
