"""Settings carried out on every architecture: by their definition, undone exactly, and never silently nothing."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from probes.calibration.samples import samples
from probes.models.loaded import Loaded
from probes.prune import block_walk as blocks
from probes.prune import criteria
from probes.prune.apply import apply
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.events import WorkProgressed
from probes.schema.part import Part
from probes.schema.prune_setting import Ratio, parse
from probes.system.progress import Work
from probes.twin.anatomy import dissect
from probes.twin.measure import measure_removed
from probes.twin.twin import Twin
from tests.support.prune_models import FEW, loaded, logits, pruned
from tests.support.slow_pruning import hessian, sparsegpt_slowly
from tests.support.tiny import ARCHITECTURES, MORE

ALL = [name for name in (*ARCHITECTURES, *MORE) if name != "mamba"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    monkeypatch.setattr(blocks, "BATCH_TOKENS", 60)


def slow_walk(dense: Loaded, ids: Tensor, method: str) -> dict[str, Tensor]:
    """Every layer's weights, by running the whole, so far pruned model anew for each block and seeing all inputs."""
    model = copy.deepcopy(dense.model)
    anatomy = dissect(model)
    result: dict[str, Tensor] = {}
    for block in anatomy.blocks:
        seen: dict[str, list[Tensor]] = {matrix.name: [] for matrix in block.matrices}
        handles = [
            model.get_submodule(name).register_forward_pre_hook(
                lambda _m, args, into=inputs: into.append(args[0].reshape(-1, args[0].shape[-1]))
            )
            for name, inputs in seen.items()
        ]
        with torch.no_grad():
            for sample in ids:
                model(input_ids=sample.unsqueeze(0), use_cache=False)
        for handle in handles:
            handle.remove()
        for matrix in block.matrices:
            x = torch.cat(seen[matrix.name]).double()
            stored: Any = model.get_submodule(matrix.name).weight
            weight = stored.t() if matrix.transposed else stored
            if method == "wanda":
                scores = weight.abs().double() * x.square().sum(0).sqrt()
                cut = weight.shape[1] // 2
                new = weight.clone()
                for row in range(weight.shape[0]):
                    new[row, scores[row].argsort()[:cut]] = 0
            else:
                new = sparsegpt_slowly(weight, hessian(x), Ratio(0.5)).float()
            weight.data.copy_(new)
            result[matrix.name] = new
    return result


@pytest.mark.parametrize("architecture", ALL)
def test_wanda_is_the_papers_wanda_block_by_block(architecture: str) -> None:
    dense = loaded(architecture)
    twin, report = pruned(dense, "wanda:0.5")
    expected = slow_walk(dense, samples(FEW, dense).ids, "wanda")
    for name, weight in expected.items():
        assert torch.equal(twin.weight(name), weight), name
    assert report.zeroed == sum(int((weight == 0).sum()) for weight in expected.values())
    assert report.targeted == sum(weight.numel() for weight in expected.values())
    assert report.calibration is not None
    assert report.calibration.samples == 6


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "falcon", "bloom", "opt"])
def test_sparsegpt_corrects_block_by_block(architecture: str) -> None:
    dense = loaded(architecture)
    twin, _ = pruned(dense, "sparsegpt:0.5")
    for name, weight in slow_walk(dense, samples(FEW, dense).ids, "sparsegpt").items():
        mine = twin.weight(name)
        assert torch.equal(mine == 0, weight == 0), name
        assert float((mine - weight).norm() / weight.norm()) < 1e-3, name


def test_one_pass_wanda_sees_the_dense_model_only() -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "wanda-onepass:0.5")
    sequential, _ = pruned(dense, "wanda:0.5")
    first, last = twin.anatomy.blocks[0].matrices[0].name, twin.anatomy.blocks[2].matrices[0].name
    assert torch.equal(twin.weight(first), sequential.weight(first))
    assert not torch.equal(twin.weight(last), sequential.weight(last))


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize("setting", ["magnitude:2:4", "wanda:2:4@attn", "sparsegpt:2:4@attn", "random:1:4"])
def test_a_pattern_holds_in_every_group_of_every_matrix(architecture: str, setting: str) -> None:
    twin, report = pruned(loaded(architecture), setting)
    keep = int(setting.split(":")[1])
    for matrix in report.matrices:
        assert int((twin.weight(matrix.name).reshape(-1, 4) != 0).sum(-1).max()) <= keep
        assert matrix.sparsity >= 1 - keep / 4


@pytest.mark.parametrize("setting", ["magnitude:0.3", "magnitude-global:0.3", "random:0.3"])
def test_what_needs_no_text_asks_for_none_and_is_exact_in_number(setting: str) -> None:
    dense = loaded("gpt2")
    twin = Twin(dense.model)
    report = apply(twin, parse(setting), dense, FEW)
    assert report.calibration is None
    sizes = [matrix.rows * matrix.columns for matrix in report.matrices]
    if "global" in setting:
        assert report.zeroed == criteria.removed(0.3, sum(sizes))
    else:
        assert [matrix.zeros for matrix in report.matrices] == [criteria.removed(0.3, size) for size in sizes]


@pytest.mark.parametrize("setting", ["wanda:0.5", "sparsegpt:0.5", "random:0.5", "drop-attn:1", "heads:0.5"])
def test_the_same_setting_gives_the_same_twin_twice(setting: str) -> None:
    dense = loaded("llama")
    one, first = pruned(dense, setting)
    other, second = pruned(dense, setting)
    assert first.mask_hash == second.mask_hash != ""
    assert torch.equal(logits(one.model), logits(other.model))


@pytest.mark.parametrize("architecture", ALL)
def test_everything_comes_back_to_the_bit(architecture: str) -> None:
    dense = loaded(architecture)
    before = logits(dense.model)
    twin, _ = pruned(dense, "heads:0.5+wanda:0.5@attn+drop-mlp@layers=1")
    assert not torch.equal(logits(twin.model), before)
    twin.restore()
    assert torch.equal(logits(twin.model), before)
    assert torch.equal(logits(dense.model), before)


def test_later_parts_decide_and_neighbours_share_one_walk() -> None:
    dense = loaded("llama")
    twin, report = pruned(dense, "wanda:0.5+sparsegpt:0.75@mlp+magnitude:0.25@layers=2")
    found = {(matrix.layer, matrix.sublayer): round(matrix.sparsity, 2) for matrix in report.matrices}
    assert found == {
        (0, "attn"): 0.5,
        (0, "mlp"): 0.75,
        (1, "attn"): 0.5,
        (1, "mlp"): 0.75,
        (2, "attn"): 0.25,
        (2, "mlp"): 0.25,
    }
    assert not report.notes
    _, overruled = pruned(dense, "wanda:0.5@mlp+magnitude:0.3", twin)
    assert "wanda:0.5@mlp decides nothing: later parts target all of its matrices." in overruled.notes


def test_weights_and_sublayers_are_given_back_by_name() -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "wanda:0.5+drop-mlp@layers=0,1+dense@attn@layers=1+dense@mlp@layers=0")
    assert twin.state.dropped == {Part("mlp", 1)}
    layer = twin.anatomy.blocks[1]
    assert all(
        torch.equal(twin.weight(m.name), twin.dense_weight(m.name)) for m in layer.matrices if m.sublayer == "attn"
    )
    assert {m.layer for m in measure_removed(twin).matrices if m.sublayer == "mlp"} == {1, 2}


def test_one_half_of_a_dropped_block_is_given_back() -> None:
    dense = loaded("llama")
    for half, other in (("attn", "mlp"), ("mlp", "attn")):
        twin, _ = pruned(dense, f"drop-block@layers=0,1+dense@{half}@layers=1")
        assert twin.state.dropped == {Part("block", 0), Part(other, 1)}
        by_name, _ = pruned(dense, f"drop-block@layers=0+drop-{other}@layers=1")
        assert torch.equal(logits(twin.model), logits(by_name.model))


def test_where_a_small_ratio_is_less_than_one_weight_of_some_rows_that_is_noted() -> None:
    _, report = pruned(loaded("llama"), "wanda:0.02")
    assert any("removes nothing from 18 of 21 matrices" in note for note in report.notes)


@pytest.mark.parametrize("setting", ["wanda:0.5+dense@attn@layers=1", "drop-attn:1+wanda:0.5+wanda:0.3@mlp+heads:0.5"])
def test_what_is_known_already_changes_nothing_but_the_time(setting: str) -> None:
    dense = loaded("llama")
    fresh, expected = pruned(dense, setting)
    parts = setting.split("+")
    known = {}
    for stop in range(1, len(parts)):
        begun, _ = pruned(dense, "+".join(parts[:stop]))
        known[str(parse("+".join(parts[:stop])))] = begun.state
    twin = Twin(dense.model)
    report = apply(twin, parse(setting), dense, FEW, known=known, keep=False)
    assert report.mask_hash == expected.mask_hash
    assert report.calibration == expected.calibration
    assert torch.equal(logits(twin.model), logits(fresh.model))


def test_a_changed_amount_reuses_what_does_not_depend_on_it_and_says_so() -> None:
    dense = loaded("llama")
    _, first = pruned(dense, "wanda-onepass:0.5")
    twin, second = pruned(dense, "wanda-onepass:0.3")
    assert not first.notes
    assert any("reused" in note for note in second.notes)
    fresh, _ = pruned(loaded("llama"), "wanda-onepass:0.3")
    assert twin.state.hash == fresh.state.hash
    pruned(dense, "wanda:0.5")
    _, changed = pruned(dense, "wanda:0.5@layers=0,1+wanda:0.7@layers=2")
    assert any("3 of 3 blocks" in note for note in changed.notes)
    _, other = pruned(dense, "wanda:0.6")
    assert any("1 of 3 blocks" in note for note in other.notes)


def test_what_is_reused_was_measured_behind_the_very_same_masks() -> None:
    """A global ranking masks a layer otherwise when other layers are ranked with it, though its text says the same."""
    dense = loaded("llama")
    pruned(dense, "magnitude-global:0.5@layers=0+wanda:0.5@layers=1")
    twin, _ = pruned(dense, "magnitude-global:0.5@layers=0,2+wanda:0.5@layers=1")
    fresh, _ = pruned(loaded("llama"), "magnitude-global:0.5@layers=0,2+wanda:0.5@layers=1")
    assert twin.state.hash == fresh.state.hash


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("wanda:0.5@layers=7", "layer 7"),
        ("wanda:0.5@name=up_proj,gate", "'gate', which is not a matrix"),
        ("magnitude:0.001@name=k_proj@layers=0", "removes no weight|decides"),
        ("neurons:0.01", "rounds to zero"),
        ("drop-attn:4", "asks for 4 of 3"),
        ("drop-attn@layers=9", "3 layers"),
        ("wanda:0.5+dense", "is the dense model"),
        ("wanda:0.5@attn+dense@mlp", "are dense"),
        ("drop-mlp@layers=1+drop-mlp@layers=1", "already"),
        ("wanda:table=nowhere.txt", "can't be read"),
        ("sparsegpt:0.000001", "removes no weight"),
        ("neurons:0.5+magnitude:0.0001@mlp", "removes no weight"),
        ("drop-block@layers=1+drop-attn@layers=1", "already"),
        ("heads:0.5@layers=1,7", "names layer 7"),
        ("neurons:0.5@layers=1,7", "names layer 7"),
        ("drop-mlp@layers=1+neurons:0.5@layers=1", "names layer 1"),
        ("magnitude:0.5+dense@layers=1,7", "names layer 7"),
        ("magnitude:0.5+dense@layers=1@name=up_proj,gate", "'gate', which is not a matrix"),
    ],
)
def test_a_setting_that_does_nothing_is_an_error_and_leaves_the_twin_as_it_was(setting: str, reason: str) -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:0.5")
    before, answer = twin.state, logits(twin.model)
    with pytest.raises(BadInput, match=reason):
        pruned(dense, setting, twin)
    assert twin.state.hash == before.hash
    assert torch.equal(logits(twin.model), answer)


def test_a_cancelled_pruning_leaves_the_twin_as_it_was() -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:0.5")
    before = twin.state.hash
    asked = iter(range(100))
    with pytest.raises(Cancelled):
        apply(twin, parse("wanda:0.5"), dense, FEW, keep=False, work=Work(cancelled=lambda: next(asked) > 12))
    assert twin.state.hash == before
    assert "forward" not in twin.model.get_submodule(twin.anatomy.blocks[0].name).__dict__


def test_experts_out_of_reach_are_named() -> None:
    _, report = pruned(loaded("mixtral"), "magnitude:0.5")
    assert any("experts" in note for note in report.notes)


def test_a_table_gives_each_matrix_its_own_amount(tmp_path: Path) -> None:
    table = tmp_path / "amounts.txt"
    table.write_text("0 0.25\n1, 0.75  # a whole layer\nup_proj 2:4\nmodel.layers.1.mlp.up_proj 0\n")
    _, report = pruned(loaded("llama"), f"magnitude:table={table}")
    found = {matrix.name.removeprefix("model.layers."): matrix.sparsity for matrix in report.matrices}
    assert found["0.self_attn.q_proj"] == 0.25
    assert found["1.self_attn.q_proj"] == 0.75
    assert found["0.mlp.up_proj"] == found["2.mlp.up_proj"] == 0.5
    assert "1.mlp.up_proj" not in found
    assert "2.mlp.down_proj" not in found
    table.write_text("nose 0.5\n")
    with pytest.raises(BadInput, match="line 1 names 'nose'"):
        pruned(loaded("llama"), f"magnitude:table={table}")


def test_finished_prunings_are_kept_and_damaged_ones_made_anew(tmp_path: Path) -> None:
    dense = loaded("gpt2")
    for setting in ("wanda:0.5", "sparsegpt:0.5+drop-mlp:1"):
        first = Twin(dense.model)
        report = apply(first, parse(setting), dense, FEW)
        again = Twin(dense.model)
        kept = apply(again, parse(setting), dense, FEW)
        assert any("kept from an earlier start" in note for note in kept.notes)
        assert (kept.mask_hash, kept.zeroed, kept.dropped) == (report.mask_hash, report.zeroed, report.dropped)
        assert torch.equal(logits(again.model), logits(first.model))
    for file in tmp_path.glob("pruned/*/pruned.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    fresh = apply(Twin(dense.model), parse("wanda:0.5"), dense, FEW)
    assert not any("kept" in note for note in fresh.notes)


@pytest.mark.parametrize("setting", ["wanda:0.5", "sparsegpt:0.5", "magnitude:0.5@layers=0+wanda:0.5@layers=1,2"])
def test_progress_never_runs_backwards(setting: str) -> None:
    dense = loaded("llama")
    told: list[WorkProgressed] = []
    apply(Twin(dense.model), parse(setting), dense, FEW, keep=False, work=Work(told.append))
    layers = [event.done for event in told if event.unit == "layers"]
    assert len(layers) > 3
    assert layers == sorted(layers)


@pytest.mark.parametrize("setting", ["wanda:0.5", "sparsegpt:0.5", "magnitude:0.5@attn+magnitude:0.3@mlp"])
def test_memory_that_runs_out_on_the_way_leaves_the_twin_as_it_was(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:0.3@layers=0+drop-attn@layers=2")
    state, before = twin.state, logits(twin.model)
    change, changes = Twin._change, itertools.count()

    def fails_late(self: Twin, *given: object) -> None:
        if next(changes) == 12:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        change(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Twin, "_change", fails_late)
    with pytest.raises(Failure, match=r"Out of memory: Pruning by .*Tried to allocate"):
        apply(twin, parse(setting), dense, FEW, keep=False)
    assert (twin.state.hash, twin.state.dropped) == (state.hash, state.dropped)
    assert torch.equal(logits(twin.model), before)
