"""A pruning that can't fit is refused before it begins, and the refusal says what would fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload

from probes.prune import memory_check
from probes.prune.apply import apply
from probes.prune.memory_check import check_memory
from probes.schema.errors import Failure
from probes.schema.prune_setting import parse
from probes.system.progress import Work
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState
from tests.support.prune_models import FEW, loaded, logits, pruned
from tests.support.tiny import moved


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def needed(twin: Twin, setting: str, start: TwinState | None = None) -> int:
    """The least number of free bytes with which a setting is not refused."""
    low, high = 0, 1 << 30
    while low < high:
        middle = (low + high) // 2
        try:
            check_memory(twin, parse(setting), start or TwinState(), lambda _device, free=middle: free)
            high = middle
        except Failure:
            low = middle + 1
    return low


def size(twin: Twin, sublayer: str = "") -> int:
    names = [matrix.name for matrix in twin.anatomy.matrices if sublayer in ("", matrix.sublayer)]
    return sum(twin.dense_weight(name).numel() * 4 for name in names)


@pytest.mark.parametrize(
    ("setting", "sublayer"),
    [("magnitude:0.5", ""), ("wanda:0.5@mlp", "mlp"), ("neurons:0.25", "mlp"), ("heads:0.5", "attn")],
)
def test_what_is_needed_is_a_copy_of_the_changed_matrices_and_little_more(setting: str, sublayer: str) -> None:
    twin = Twin(loaded("llama").model)
    weights = size(twin, sublayer)
    assert weights < needed(twin, setting) < 1.6 * weights  # in so small a model one matrix is a large share


def test_sparsegpt_needs_its_hessian_as_well() -> None:
    twin = Twin(loaded("llama").model)
    assert needed(twin, "sparsegpt:0.5") > needed(twin, "wanda:0.5")


def test_half_precision_needs_half() -> None:
    twin, half = Twin(loaded("llama").model), Twin(moved(loaded("llama").model, torch.bfloat16))
    scores = 4 * max(twin.dense_weight(matrix.name).numel() for matrix in twin.anatomy.matrices)
    masks = size(twin) // 32
    assert needed(half, "magnitude:0.5") - scores - masks == (needed(twin, "magnitude:0.5") - scores - masks) // 2


@pytest.mark.parametrize("setting", ["drop-attn@layers=1", "drop-block:1", "dense@layers=0"])
def test_what_changes_no_weight_needs_nothing(setting: str) -> None:
    assert needed(Twin(loaded("llama").model), setting) == 0


def test_matrices_that_exist_already_are_not_counted_again() -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:0.5@mlp")
    assert needed(twin, "magnitude:0.5", twin.state) == needed(Twin(dense.model), "magnitude:0.5@attn")


def test_masked_matrices_that_are_handed_back_count_as_free() -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:0.5@mlp")
    assert needed(twin, "wanda:0.5") == needed(Twin(dense.model), "wanda:0.5") - size(twin, "mlp")


def test_the_layers_that_are_said_to_fit_do() -> None:
    twin = Twin(loaded("llama").model)
    free = needed(twin, "magnitude:0.5") - 1
    with pytest.raises(Failure) as refused:
        check_memory(twin, parse("magnitude:0.5"), TwinState(), lambda _device: free)
    found = re.search(r"(\d) of its 3 layers would fit \((@layers=[\d-]+)\)", refused.value.hint)
    assert found is not None
    assert found[1] == "2"
    check_memory(twin, parse(f"magnitude:0.5{found[2]}"), TwinState(), lambda _device: free)
    assert "--dtype" in refused.value.hint


def test_a_refusal_comes_before_anything_slow_and_leaves_the_twin_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "drop-attn@layers=1")
    before = twin.state
    told: list[object] = []
    unread = replace(FEW, source="no file of this name")  # which would be an error of its own if it were read
    monkeypatch.setattr(memory_check, "available_bytes", lambda _device: 0)
    with pytest.raises(Failure, match=r"wanda:0\.5 needs 0\.0 GB beside the dense model"):
        apply(twin, parse("wanda:0.5"), dense, unread, work=Work(told.append))
    assert twin.state == before
    assert told == []


def test_weights_that_are_moved_in_for_each_pass_need_their_masks_alone() -> None:
    dense = loaded("llama")
    expected = needed(Twin(dense.model), "magnitude:0.5") - size(Twin(dense.model))
    cpu_offload(dense.model, execution_device=torch.device("cpu"))
    twin = Twin(dense.model)
    largest = max(twin.shape(matrix.name).numel() for matrix in twin.anatomy.matrices)
    assert needed(twin, "magnitude:0.5") == expected + 4 * largest  # one matrix at a time is read


def test_sublayers_of_a_model_whose_weights_are_moved_in_for_each_pass_are_dropped_by_what_they_do() -> None:
    dense, plain = loaded("llama"), loaded("llama")
    cpu_offload(dense.model, execution_device=torch.device("cpu"))
    twin, other = Twin(dense.model), Twin(plain.model)
    for one, model in ((twin, dense), (other, plain)):
        apply(one, parse("drop-attn:1"), model, FEW, keep=False)
    assert twin.state.dropped == other.state.dropped
    assert torch.equal(logits(twin.model), logits(other.model))
