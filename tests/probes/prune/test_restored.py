"""What one part removed and a later one gave back stays in the whole that the removed share is of."""

from __future__ import annotations

import pytest

from tests.support.prune_models import loaded, pruned


@pytest.mark.parametrize("removal", ["magnitude:0.5", "random:2:4@mlp", "neurons:0.5", "heads:0.5"])
def test_a_restored_layer_counts_among_what_was_pruned(removal: str) -> None:
    dense = loaded("llama")
    _, whole = pruned(dense, removal)
    _, less = pruned(dense, f"{removal}+dense@layers=1")
    assert less.targeted == whole.targeted
    assert less.zeroed < whole.zeroed
    layers = {matrix.layer: 0 for matrix in whole.matrices}
    for matrix in whole.matrices:
        layers[matrix.layer] += matrix.zeros
    assert less.zeroed == whole.zeroed - layers[1]


def test_what_was_never_pruned_does_not_count() -> None:
    _, only = pruned(loaded("llama"), "magnitude:0.5@layers=0")
    _, same = pruned(loaded("llama"), "magnitude:0.5@layers=0+drop-attn@layers=1,2+dense@layers=2")
    assert same.targeted == only.targeted


def test_attentions_that_lose_no_head_count_among_what_heads_were_taken_from() -> None:
    twin, report = pruned(loaded("llama"), "heads:0.5")
    attentions = [matrix for matrix in twin.anatomy.matrices if matrix.sublayer == "attn"]
    assert len({matrix.layer for matrix in attentions if matrix.name in twin.state.changes}) < len(twin.anatomy.blocks)
    assert report.targeted == sum(twin.dense_weight(matrix.name).numel() for matrix in attentions)
    assert report.zeroed / report.targeted == 0.5


def test_what_was_dropped_before_is_nothing_that_a_later_part_takes_from() -> None:
    twin, report = pruned(loaded("llama"), "drop-attn@layers=1+magnitude:0.5@attn")
    changed = list(twin.state.changes)
    assert report.targeted == sum(twin.dense_weight(name).numel() for name in changed)
