"""Models whose layers can't be set against one another keep their lenses and the accumulated deviation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from probes.explain.layers import measure_layers
from probes.explain.step import explain
from probes.explain.sublayers import NotAligned, Sublayers
from probes.explain.unaligned import Unaligned, take_apart_or_alone
from probes.schema.part import Part
from probes.stepping.cached_model import CachedModel
from tests.support.explaining import CONTEXT, cut, kl, plain, two
from tests.support.stepping import lockstep
from tests.support.tiny import tiny


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("architecture", "changes", "beside"),
    [
        ("llama", {"num_key_value_heads": 4}, (0, 1, 2)),
        ("llama", {"num_hidden_layers": 2}, (0, 1, 1)),
        ("llama", {"num_hidden_layers": 5}, (1, 3, 4)),
        ("qwen3", {}, (0, 1, 2)),
    ],
    ids=["heads", "shallower", "deeper", "another architecture"],
)
def test_each_model_is_read_by_itself(architecture: str, changes: dict[str, Any], beside: tuple[int, ...]) -> None:
    dense, other = tiny("llama"), tiny(architecture, seed=1, **changes)
    apart = take_apart_or_alone(dense, other)
    assert isinstance(apart, Unaligned)
    assert apart.counterparts == tuple(Part(kind, layer) for layer in beside for kind in ("attn", "mlp"))
    found = measure_layers(CachedModel(dense), CachedModel(other), CONTEXT, apart)
    assert [(row.layer, row.sublayer) for row in found.rows] == [
        (n, kind) for n in range(3) for kind in ("attn", "mlp")
    ]
    for row, part in zip(found.rows, apart.counterparts, strict=True):
        silent = "mlp" if row.sublayer == "attn" else ""
        one = plain(cut("llama", dense, row.layer, silent))[-1]
        two = plain(cut(architecture, other, part.layer, silent))[-1]
        assert math.isclose(row.accumulated.p.kl, kl(one, two), rel_tol=1e-4)
        assert (row.lens_dense.token_id, row.lens_pruned.token_id) == (int(one.argmax()), int(two.argmax()))
        assert row.same_input is None


def test_models_of_one_shape_are_aligned() -> None:
    dense, pruned, _ = two("llama")
    assert isinstance(take_apart_or_alone(dense, pruned), Sublayers)


def test_other_neurons_within_an_mlp_are_no_hindrance() -> None:
    assert isinstance(take_apart_or_alone(tiny("llama"), tiny("llama", seed=1, intermediate_size=48)), Sublayers)


def test_equal_streams_differ_in_nothing() -> None:
    dense = tiny("llama")
    apart = take_apart_or_alone(dense, tiny("llama", num_key_value_heads=4))
    assert isinstance(apart, Unaligned)
    itself = Unaligned(apart.dense, apart.dense, "")
    for row in measure_layers(CachedModel(dense), CachedModel(dense), CONTEXT, itself).rows:
        assert row.accumulated.p.kl == row.accumulated.h.orthogonal == 0


@pytest.mark.parametrize(
    ("changes", "named", "parts"),
    [
        ({"num_key_value_heads": 4}, "num_key_value_heads is 2 in the dense and 4 in the other model, from layer 0", 8),
        ({"num_hidden_layers": 2}, "layer 2 has no counterpart in the pruned model", 0),
    ],
)
def test_what_still_works_is_found_and_a_note_names_the_layer(changes: dict[str, Any], named: str, parts: int) -> None:
    with lockstep(tiny("llama"), tiny("llama", seed=1, **changes), steps=6) as both:
        step = next(record.step for record in list(both) if record.agree is False)
        found = explain(both, range(step, step + 1), followed=2)
        assert found.layers is not None
        assert found.split is not None
        record = both.path[step - 1]
        assert record.own is not None
        assert found.layers.rows[-1].accumulated.p.kl == record.own.p.kl
        assert len(found.split.parts) == parts
        assert {"layers", "split", "noise_floor", "fork"} == set(found.found)
        assert sum(named in note for note in found.notes) == 1
        assert any("caches can't be exchanged" in note for note in found.notes)
        with pytest.raises(NotAligned, match=named):
            explain(both, range(1, 2), ["swaps"])
