"""What each row makes is learned by disturbing it, on every layout there is."""

from __future__ import annotations

import pytest

from probes.prune.row_roles import heads, writer
from probes.twin.anatomy import Matrix
from probes.twin.twin import Twin
from tests.support.layouts import RUNS, VARIANTS, built, groups, writes


def writer_of(twin: Twin, layer: int, kind: str) -> Matrix | None:
    block = twin.anatomy.blocks[layer]
    sublayer = block.sublayer(kind)
    assert sublayer is not None
    return writer(twin.model, sublayer, [matrix for matrix in block.matrices if matrix.sublayer == kind])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_matrix_that_writes_to_the_stream_is_found(variant: str) -> None:
    twin = Twin(built(variant))
    for kind in ("attn", "mlp") if variant != "mixtral" else ("attn",):
        for layer, name in writes(twin, variant, kind).items():
            found = writer_of(twin, layer, kind)
            assert found is not None
            assert found.name == name
    if variant == "mixtral":
        assert writer_of(twin, 0, "mlp") is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_heads_that_each_row_serves_are_found(variant: str) -> None:
    twin = Twin(built(variant))
    block = twin.anatomy.blocks[2]
    written = writes(twin, variant, "attn")[2]
    attention = [matrix for matrix in block.matrices if matrix.sublayer == "attn"]
    (last,) = [matrix for matrix in attention if matrix.name == written]
    found = heads(twin, last, [matrix for matrix in attention if matrix != last])
    assert found is not None
    assert found.size == (16 if variant == "qwen3" else 8)
    assert set(found.groups) == {tuple(group) for group in groups(variant)}
    assert {name.rpartition(".")[2]: list(map(set, runs)) for name, runs in found.served.items()} == RUNS[variant]
