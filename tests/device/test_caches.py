"""Caches exchanged on a GPU, on which both models compute on streams of their own."""

from __future__ import annotations

import pytest
import torch

from probes.explain.forks import measure_fork
from probes.explain.quadrants import measure_quadrants
from probes.stepping.cached_model import CachedModel
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT
from tests.support.stepping import damaged, lockstep
from tests.support.tiny import moved, tiny

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LONG = [*CONTEXT, *(7 * i % 128 for i in range(3, 41))]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_an_exact_copy_differs_in_nothing(architecture: str, dtype: torch.dtype, device: torch.device) -> None:
    dense = moved(tiny(architecture), device, dtype)
    with lockstep(dense, Twin(dense).model, steps=6) as both:
        for record in list(both)[::2]:
            found = measure_quadrants(*both.models, both.shared_context(record.step))
            assert (found.control, found.pruned_weights, found.pruned_cache, found.both) == (0, 0, 0, 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_damaged_copy_and_its_forks(dtype: torch.dtype, device: torch.device) -> None:
    dense = moved(tiny("qwen3"), device, dtype)
    pruned = moved(damaged(tiny("qwen3")), device, dtype)
    notes: list[str] = []
    found = measure_quadrants(CachedModel(dense), CachedModel(pruned, lane=1), LONG, most=12, notes=notes)
    assert (found.control, found.tried, found.cached, notes) == (0, 12, len(LONG) - 1, [])
    assert min(found.pruned_weights, found.pruned_cache, found.both) > 0
    near = 1e-5 if dtype is torch.float32 else 0.05  # those of a batch are not quite those of one row
    for one in found.positions:
        assert one.kl_after + one.kl_drop == pytest.approx(found.both, abs=near)
    with lockstep(dense, pruned, steps=10) as both:
        expected = list(both)
    with lockstep(dense, pruned, steps=10) as both:
        for record in expected:
            assert both.step() == record
            measure_fork(both, both.path[:-1], steps=2)


def test_models_on_two_devices_read_each_other_s_cache(device: torch.device) -> None:
    dense, pruned = moved(tiny("llama"), device), damaged(tiny("llama"))
    here = measure_quadrants(CachedModel(dense), CachedModel(moved(damaged(tiny("llama")), device)), LONG)
    apart = measure_quadrants(CachedModel(dense), CachedModel(pruned), LONG)
    for name in ("pruned_weights", "pruned_cache", "both"):
        assert getattr(apart, name) == pytest.approx(getattr(here, name), rel=1e-3)
