"""Memory on a GPU: what twins share, what steps leave behind, and what happens if it runs out."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from probes.models.devices import available_bytes
from probes.models.loaded import Loaded, load
from probes.pair import load_pair
from probes.prune.apply import apply
from probes.schema.errors import Failure
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.stepping.cached_model import CachedModel
from probes.twin.sharing import sharing_copy
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState
from tests.support.stepping import lockstep

MB = 1 << 20


@pytest.fixture
def short(tmp_path: Path) -> CalibrationSpec:
    """A little calibration text."""
    text = tmp_path / "text.txt"
    text.write_text("The king sat on a mat. " * 40)
    return CalibrationSpec(str(text), samples=4, length=32)


def held(device: torch.device) -> int:
    """Bytes of tensors on the GPU."""
    gc.collect()
    torch.cuda.synchronize(device)
    return torch.cuda.memory_allocated(device)


def all_but(device: torch.device, spare: int) -> torch.Tensor:
    """A tensor that takes all free memory of the GPU but so many bytes."""
    gc.collect()
    torch.cuda.empty_cache()
    return torch.empty(torch.cuda.mem_get_info(device)[0] - spare, dtype=torch.uint8, device=device)


@contextmanager
def no_more_than(device: torch.device, spare: int) -> Iterator[None]:
    """While it lasts, torch gets `spare` bytes beyond what its tensors take."""
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + spare) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()


def test_a_twin_takes_what_was_pruned_and_nothing_else(large_loaded: Loaded, gpu: torch.device) -> None:
    twin = Twin(large_loaded.model)
    apply(twin, parse("magnitude:0.5@layers=0+drop-attn@layers=1"), large_loaded, keep=False)  # libraries start up
    twin.set_state(TwinState())
    before = held(gpu)
    twin = Twin(large_loaded.model)
    assert held(gpu) - before < MB
    report = apply(twin, parse("magnitude:0.5@mlp"), large_loaded, keep=False)
    matrices = 2 * report.targeted
    assert matrices <= held(gpu) - before < matrices + MB
    twin.drop(Part("attn", 1), Part("block", 2))
    assert held(gpu) - before < matrices + MB
    twin.set_state(TwinState())
    assert held(gpu) - before < MB


@pytest.mark.parametrize("setting", ["magnitude:0.5", "wanda:0.5", "sparsegpt:2:4@layers=0-1"])
def test_pruning_takes_little_more_than_its_matrices(
    setting: str, large_loaded: Loaded, short: CalibrationSpec, gpu: torch.device
) -> None:
    weights = sum(p.numel() * p.element_size() for p in large_loaded.model.parameters())
    twin = Twin(large_loaded.model)
    apply(twin, parse("wanda:0.5@layers=0"), large_loaded, short, keep=False)  # libraries take their share once
    twin.set_state(TwinState())
    before = held(gpu)
    torch.cuda.reset_peak_memory_stats(gpu)
    report = apply(twin, parse(setting), large_loaded, short, keep=False)
    peak = torch.cuda.max_memory_allocated(gpu) - before
    print(f"{setting}: peak {peak / MB:.0f} MB for {2 * report.targeted / MB:.0f} MB of matrices")  # noqa: T201
    assert peak < 2 * report.targeted + 0.4 * weights
    assert held(gpu) - before < 2 * report.targeted + 8 * MB


def test_no_step_leaves_anything_of_the_size_of_the_vocabulary(large_loaded: Loaded, gpu: torch.device) -> None:
    model = large_loaded.model
    config = model.config
    a_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 2
    with lockstep(model, sharing_copy(model), "free", steps=200) as stepping:
        kept = [stepping.step(dense=5, pruned=6)]
        kept += [stepping.step() for _ in range(20)]
        before = held(gpu)
        kept += [stepping.step() for _ in range(64)]
        growth = (held(gpu) - before) / 64
    caches = 3 * a_token
    print(f"a step leaves {growth / 1000:.1f} kB, of which {caches / 1000:.1f} kB are the caches'")  # noqa: T201
    assert growth < caches + 16_000 < 8 * config.vocab_size


def test_one_run_after_another_takes_no_more(large_loaded: Loaded, gpu: torch.device) -> None:
    model = large_loaded.model
    after = []
    for _ in range(12):
        with lockstep(model, sharing_copy(model), "dense", steps=2) as stepping:
            list(stepping)
        del stepping
        after.append(held(gpu))
    assert after[-1] - after[1] < MB, after


def test_what_torch_holds_for_later_counts_as_free(gpu: torch.device) -> None:
    torch.cuda.empty_cache()
    before = available_bytes(gpu)
    block = torch.empty(512 * MB, dtype=torch.uint8, device=gpu)
    assert available_bytes(gpu) < before - 500 * MB
    del block
    assert torch.cuda.mem_get_info(gpu)[0] < before - 500 * MB
    assert available_bytes(gpu) > before - 16 * MB


def test_a_context_that_does_not_fit_is_refused_and_a_shorter_one_is_read(
    large_loaded: Loaded, gpu: torch.device
) -> None:
    track = CachedModel(large_loaded.model)
    short, long = list(range(5, 25)), [7] * 2000
    answer = track.read([short])
    track.join()
    expected = answer.logits.clone()
    track.forget()
    del answer
    before = held(gpu)
    with no_more_than(gpu, 24 * MB), pytest.raises(Failure, match="Out of memory: Reading 2 × 2000 tokens") as failed:
        track.read([long, long])
    print(failed.value)  # noqa: T201
    assert "PYTORCH" not in str(failed.value)
    assert held(gpu) - before < MB, "the error, which may be kept for its traceback, keeps no memory"
    again = track.read([short]).logits
    track.join()
    assert torch.equal(again, expected)


@pytest.mark.parametrize("setting", ["magnitude:0.5", "wanda:0.5", "sparsegpt:0.5"])
def test_pruning_that_runs_out_of_memory_leaves_the_twin_as_it_was(
    setting: str, large_loaded: Loaded, short: CalibrationSpec, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = Twin(large_loaded.model)
    apply(twin, parse("magnitude:0.3@layers=0,1+drop-attn@layers=2"), large_loaded, keep=False)
    state, masked = twin.state, twin.weight("model.layers.0.mlp.up_proj").clone()
    before = held(gpu)
    monkeypatch.setattr("probes.prune.apply.check_memory", lambda *_: None)  # it would refuse before anything began
    with no_more_than(gpu, 400 * MB), pytest.raises(Failure, match=f"Out of memory: Pruning by {setting}") as failed:
        apply(twin, parse(setting), large_loaded, short, keep=False)
    assert "PYTORCH" not in str(failed.value)
    assert (twin.state.hash, twin.state.dropped) == (state.hash, state.dropped)
    assert torch.equal(twin.weight("model.layers.0.mlp.up_proj"), masked)
    assert held(gpu) - before < 64 * MB
    apply(twin, parse("magnitude:0.5@layers=0"), large_loaded, keep=False)


def test_pruning_is_refused_before_it_begins_if_it_can_not_fit(large_loaded: Loaded, gpu: torch.device) -> None:
    twin = Twin(large_loaded.model)
    block = all_but(gpu, 300 * MB)
    try:
        with pytest.raises(Failure, match=r"Out of memory: magnitude:0.5 needs .* GB are free on cuda:0.*would fit"):
            apply(twin, parse("magnitude:0.5"), large_loaded, keep=False)
    finally:
        del block
        torch.cuda.empty_cache()
    assert twin.state == TwinState()


def test_a_model_that_does_not_fit_is_refused(large: Path, gpu: torch.device) -> None:
    with (
        no_more_than(gpu, 300 * MB),
        pytest.raises(Failure, match=r"Out of memory: .* GB for its weights.*--device-map"),
    ):
        load(str(large), LoadOptions("cuda"))
    block = all_but(gpu, 300 * MB)
    try:
        with pytest.raises(Failure, match=r"Out of memory: .* GB for its weights, and .* GB are free on cuda"):
            load(str(large), LoadOptions("cuda"))
    finally:
        del block
        torch.cuda.empty_cache()


def test_a_model_partly_off_the_device_steps_and_is_pruned(large: Path, gpu: torch.device) -> None:
    block = all_but(gpu, 2_000 * MB)
    try:
        dense = load(str(large), LoadOptions(device_map="auto"))
        assert set(dense.info.device.split(",")) == {"cpu", "cuda:0"}
        twin = Twin(dense.model)
        with lockstep(dense.model, twin.model, "dense", steps=4) as stepping:
            path = list(stepping)
        assert {record.own.p.kl for record in path if record.own} == {0}
        report = apply(twin, parse("magnitude:0.5@layers=15"), dense, keep=False)
        assert report.zeroed == report.targeted // 2
        with lockstep(dense.model, twin.model, "dense", steps=4) as stepping:
            assert all(record.own.p.kl > 0 for record in stepping if record.own)
    finally:
        del block
        torch.cuda.empty_cache()


def test_a_device_map_on_one_gpu_is_that_gpu(large: Path, gpu: torch.device) -> None:
    settings = RunSettings("the king", follow=Follow.FREE, steps=8)
    paths, devices = [], []
    for options in (LoadOptions("cuda"), LoadOptions(device_map="auto"), LoadOptions()):
        pair = load_pair(PairSpec(dense=str(large), prune=parse("magnitude:0.5@mlp"), load=options))
        devices.append(pair.dense.info.device)
        assert pair.dense.model.dtype == torch.bfloat16, "a GPU computes in what the checkpoint is in"
        with pair.lockstep(settings) as stepping:
            paths.append(list(stepping))
    assert paths[0] == paths[1] == paths[2]
    assert devices == ["cuda:0"] * 3
