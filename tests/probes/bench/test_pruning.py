"""What pruning costs is measured on real work: each method anew, and the twin left as the dense model."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from probes.bench import pruning as prunecost
from probes.bench.memory import PruneMemory, measure_memory
from probes.bench.pruning import CHANGED, LIMITS, PASS, STEP, Timing, timings
from probes.models.loaded import Loaded
from probes.prune.activations import NormCache
from tests.support.prune_models import FEW, loaded


@dataclass(frozen=True)
class Timed:
    dense: Loaded
    found: list[Timing]


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Timed:
    """All that is timed, once for the tests below."""
    dense = loaded("llama")
    with pytest.MonkeyPatch.context() as own:
        own.setenv("PHIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        return Timed(dense, timings(dense, FEW))


def test_everything_that_has_a_limit_is_timed_in_what_its_limit_is_said_in(timed: Timed) -> None:
    found = {one.what: one for one in timed.found}
    for setting, limit in LIMITS.items():
        assert found[setting].limit == limit
        assert found[setting].per == (STEP if setting.startswith("magnitude") else PASS)
        assert found[setting].ratio == found[setting].seconds / found[setting].unit > 0
    quick = [one for one in found.values() if one.limit == prunecost.QUICK]
    assert {one.what.split(" ")[0] for one in quick} == {"drop-attn,", "drop-block,", "restoring"}
    assert all(one.per == STEP for one in quick)


def test_a_changed_amount_says_what_it_reused_and_the_others_reuse_nothing(timed: Timed) -> None:
    changed = {f"{first} changed to {then}" for first, then in CHANGED}
    for one in timed.found:
        assert any("reused" in note for note in one.notes) == (one.what in changed), one


def test_nothing_that_was_measured_stays_behind(timed: Timed) -> None:
    assert not NormCache.of(timed.dense.model)._known


def test_the_limit_of_memory_is_the_matrices_and_a_fifth_of_the_dense_weights() -> None:
    assert PruneMemory("wanda:0.5", 32, dense=100, matrices=60, own=60, peak=70, left=61).limit == 80


@pytest.mark.demo
def test_a_masked_twin_of_the_demo_model_owns_its_matrices_and_nothing_else(
    demo: object, measured_in_forks: None
) -> None:
    found = measure_memory("magnitude:0.5@layers=3,4")
    assert found.own == found.matrices == 2 * 4 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 576 * 1536)
    assert found.peak < found.limit
