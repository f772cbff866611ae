"""An exact copy is explained by nothing while the dense model computes in a process of its own, and its run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.explain.step import explain
from probes.schema.quadrants import Quadrants
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import OverlapMode
from probes.stepping.lockstep import Lockstep
from probes.stepping.overlap import choose_overlap
from probes.twin.twin import Twin
from tests.support.stepping import PROMPT, Words
from tests.support.tiny import tiny

KINDS = ("layers", "split", "quadrants", "swaps", "fork")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def test_an_exact_copy_is_explained_by_exactly_0() -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    overlap = choose_overlap(dense, twin.model, OverlapMode.PROCESS)
    try:
        models = overlap.models(dense, twin.model)
        with Lockstep(*models, Words(), PROMPT, RunSettings("prompt", follow=Follow.FREE, steps=20)) as run:
            for _ in range(8):
                run.step()
            found = explain(run, range(7, 8), KINDS, followed=2)
            assert found.layers is not None
            for row in found.layers.rows:
                for figures in (row.same_input, row.accumulated):
                    assert figures is not None
                    assert figures.p.kl == figures.z.l2 == figures.h.orthogonal == 0
                assert row.lens_dense == row.lens_pruned
            assert found.swaps is not None
            assert {one.kl_after for one in (*found.swaps.heal, *found.swaps.damage)} == {0}
            assert found.swaps.kl == found.swaps.control == found.swaps.kl_all_healed == 0
            quadrants = found.found["quadrants"]
            assert isinstance(quadrants, Quadrants)
            assert quadrants.both == quadrants.pruned_weights == quadrants.pruned_cache == 0
            for _ in range(3):
                record = run.step()
                assert record.own is not None
                assert record.own.p.kl == record.own.z.l2 == record.own.h.orthogonal == 0
        assert overlap.mode is OverlapMode.PROCESS
    finally:
        overlap.close()
