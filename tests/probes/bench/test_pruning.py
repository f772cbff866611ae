"""What pruning costs is measured on real work: each method anew, and the twin left as the dense model."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.bench import pruning as prunecost
from probes.bench.memory import PruneMemory, measure_memory
from probes.bench.pruning import CHANGED, LIMITS, PASS, STEP, timings
from probes.prune.activations import NormCache
from tests.support.prune_models import FEW, loaded


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


@pytest.mark.usefixtures("_own_cache")
def test_everything_that_has_a_limit_is_timed_in_what_its_limit_is_said_in() -> None:
    found = {one.what: one for one in timings(loaded("llama"), FEW)}
    for setting, limit in LIMITS.items():
        assert found[setting].limit == limit
        assert found[setting].per == (STEP if setting.startswith("magnitude") else PASS)
        assert found[setting].ratio == found[setting].seconds / found[setting].unit > 0
    quick = [one for one in found.values() if one.limit == prunecost.QUICK]
    assert {one.what.split(" ")[0] for one in quick} == {"drop-attn,", "drop-block,", "restoring"}
    assert all(one.per == STEP for one in quick)


@pytest.mark.usefixtures("_own_cache")
def test_a_changed_amount_says_what_it_reused_and_the_others_reuse_nothing() -> None:
    found = timings(loaded("llama"), FEW)
    changed = {f"{first} changed to {then}" for first, then in CHANGED}
    for one in found:
        assert any("reused" in note for note in one.notes) == (one.what in changed), one


@pytest.mark.usefixtures("_own_cache")
def test_nothing_that_was_measured_stays_behind() -> None:
    dense = loaded("llama")
    timings(dense, FEW)
    assert not NormCache.of(dense.model)._known


def test_the_limit_of_memory_is_the_matrices_and_a_fifth_of_the_dense_weights() -> None:
    assert PruneMemory("wanda:0.5", 32, dense=100, matrices=60, own=60, peak=70, left=61).limit == 80


@pytest.mark.demo
def test_a_masked_twin_of_the_demo_model_owns_its_matrices_and_nothing_else(demo: object) -> None:
    found = measure_memory("magnitude:0.5@layers=3,4")
    assert found.own == found.matrices == 2 * 4 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 576 * 1536)
    assert found.peak < found.limit
