"""Steps are explained by the kinds that are asked for, and the run goes on as if nobody had asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.explain.step import explain
from probes.schema.explanation import Layers, Swaps
from probes.schema.noise_floor import NoiseFloor
from tests.support.explaining import two
from tests.support.stepping import lockstep


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("follow", ["dense", "free"])
def test_the_run_goes_on_bit_for_bit_the_same(architecture: str, follow: str) -> None:
    dense, pruned, _ = two(architecture)
    with lockstep(dense, pruned, follow, steps=12) as both:
        expected = list(both)
    assert any(record.agree is False for record in expected[:-2])  # in `free` two contexts are read from there on
    with lockstep(dense, pruned, follow, steps=12) as both:
        for record in expected:
            assert both.step() == record
            if record.step % 4 == 3:
                explain(both, range(record.step - 1, record.step))


def test_kinds_that_are_asked_for_and_kinds_that_apply() -> None:
    dense, pruned, _ = two("llama")
    with lockstep(dense, pruned, steps=3) as both:
        list(both)
        asked = explain(both, range(3, 4), ["layers"])
        assert asked.steps == (3, 3)
        assert [type(finding) for finding in asked.found.values()] == [Layers]
        assert not explain(both, range(2, 4), ["layers"]).found
        assert [type(finding) for finding in explain(both, range(2, 4)).found.values()] == [NoiseFloor, Swaps]
