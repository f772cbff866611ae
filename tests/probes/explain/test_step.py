"""Steps are explained by the kinds that are asked for, and the run goes on as if nobody had asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from probes.explain.step import Explainer, explain
from probes.schema.errors import Failure
from probes.schema.explanation import Layers, Swaps
from probes.schema.findings import Finding
from probes.schema.noise_floor import MARGIN, NoiseFloor
from probes.schema.settings import Sampling
from probes.schema.split_anatomy import SplitAnatomy
from tests.support.explaining import two
from tests.support.stepping import lockstep
from tests.support.tiny import tiny


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
                explain(both, range(record.step - 1, record.step), ["layers", "quadrants", "fork"], followed=2)


def test_kinds_that_are_asked_for_and_kinds_that_apply() -> None:
    dense, pruned, _ = two("llama")
    with lockstep(dense, pruned, steps=3) as both:
        list(both)
        asked = explain(both, range(3, 4), ["layers"])
        assert asked.steps == (3, 3)
        assert [type(finding) for finding in asked.found.values()] == [Layers]
        assert not explain(both, range(2, 4), ["layers"]).found
        assert [type(finding) for finding in explain(both, range(2, 4)).found.values()] == [NoiseFloor, Swaps]


def test_a_split_is_about_the_tokens_that_were_chosen() -> None:
    dense, pruned, _ = two("llama")
    for follow in ("dense", "free"):
        with lockstep(dense, pruned, follow, steps=12, sampling=Sampling(temperature=1.5, seed=2)) as both:
            path = list(both)
            assert any(not record.same_context for record in path) == (follow == "free")
            for record in path[::3]:
                found = explain(both, range(record.step, record.step + 1), ["split"]).split
                assert found is not None
                assert record.shared is not None
                tokens = {row.token_id: row for row in record.shared.top}
                if record.same_context and record.dense and record.pruned:
                    assert found.a.token_id == record.dense.token_id
                    assert (found.verdict is None) == (record.dense.token_id == record.pruned.token_id)
                else:
                    assert tokens[found.a.token_id].rank_dense == 1
                    assert record.shared.p.rank_dense_in_pruned == found.a.rank_pruned
                assert found.entropy_dense == pytest.approx(record.shared.p.entropy_dense, rel=1e-5)
                assert found.entropy_pruned == pytest.approx(record.shared.p.entropy_pruned, rel=1e-5)


def test_a_split_is_shown_before_the_floor_is_measured_and_judged_again_then() -> None:
    dense, pruned, _ = two("llama")
    early: list[Finding] = []
    with lockstep(dense, pruned, steps=3) as both:
        list(both)
        explainer = Explainer(both, range(2, 3), early=early.append)
        found = explainer.find("split")
        floor = explainer.find("noise_floor")
    assert isinstance(found, SplitAnatomy)
    assert isinstance(floor, NoiseFloor)
    assert found.floor == floor.floor(MARGIN) > 0
    assert [replace(one, floor=found.floor) for one in early if isinstance(one, SplitAnatomy)] == [found]


def test_a_split_without_a_floor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, pruned, _ = two("llama")

    def fails(*_: object, **__: object) -> NoReturn:
        raise Failure("Out of memory", "Memory ran out.", "")

    monkeypatch.setattr("probes.explain.step.noise_floor", fails)
    with lockstep(dense, pruned, steps=3) as both:
        list(both)
        found = explain(both, range(2, 3), ["split"])
    assert found.split is not None
    assert found.split.floor == 0
    assert found.notes == ("The split is judged without a noise floor. Memory ran out.",)


@pytest.mark.parametrize("architecture", ["llama", "mamba"])
def test_a_split_of_models_that_can_not_be_taken_apart_has_margins_and_no_parts(architecture: str) -> None:
    dense = tiny(architecture)
    pruned = tiny(architecture, seed=1, num_hidden_layers=2)
    with lockstep(dense, pruned, steps=3) as both:
        record = list(both)[-1]
        found = explain(both, range(3, 4), ["split"]).split
    assert found is not None
    assert record.own is not None
    assert found.parts == ()
    assert "can't be" in found.notes[0]
    assert found.entropy_pruned == pytest.approx(record.own.p.entropy_pruned, rel=1e-5)
    assert found.a.p == pytest.approx(record.dense.p if record.dense else 0, rel=1e-5)
    assert (found.verdict is None) == (not record.split)
