"""`restore` gives back the weights that a slow reference chooses, and nothing else; what it can't is a sentence."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from probes.models.loaded import with_fingerprint
from probes.prune.fitted_text import FittedText, read_fitted
from probes.prune.single_weights import each_gradient, most_wanted, span_logits, weights_restored
from probes.schema.errors import BadInput, Cancelled
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT, EXPLAINED
from tests.support.prune_models import loaded, logits, pruned
from tests.support.tiny import VOCABULARY, moved, tiny

FITTED = FittedText(tuple(CONTEXT), 4, 1.5, VOCABULARY, "")


def halved(architecture: str, *names: str) -> Twin:
    """A twin with the smaller half of each matrix pruned."""
    twin = Twin(tiny(architecture))
    for matrix in twin.anatomy.matrices:
        if not names or matrix.name.endswith(names):
            weight = twin.dense_weight(matrix.name)
            twin.mask(matrix.name, weight.abs() > weight.abs().median())
    return twin


def slow_gradients(twin: Twin, dtype: torch.dtype) -> dict[str, Tensor]:
    """∂KL/∂W of every changed matrix by autograd on a copy, (outputs, inputs)."""
    dense, model = (moved(copy.deepcopy(one), dtype) for one in (twin.dense, twin.model))
    weights = {name: model.get_parameter(f"{name}.weight").requires_grad_() for name in twin.state.changes}
    with torch.no_grad():
        p = torch.log_softmax(dense(torch.tensor([CONTEXT])).logits[0, -4:] / 1.5, -1)
    q = torch.log_softmax(model(torch.tensor([CONTEXT])).logits[0, -4:] / 1.5, -1)
    ((p.exp() * (p - q)).sum() / 4).backward()
    transposed = {m.name for m in twin.anatomy.matrices if m.transposed}
    found = {}
    for name, weight in weights.items():
        assert weight.grad is not None
        found[name] = (weight.grad.t() if name in transposed else weight.grad).double()
    return found


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_the_chosen_weights_are_those_of_an_autograd_reference(architecture: str) -> None:
    twin = halved(architecture)
    experts = architecture == "mixtral"  # have no kernel in float64
    slow = slow_gradients(twin, torch.float32 if experts else torch.float64)
    matrices = [m for m in twin.anatomy.matrices if m.name in twin.state.changes]
    seen = []

    def see(matrix: object, gradient: Tensor) -> None:
        name = getattr(matrix, "name", "")
        seen.append(name)
        torch.testing.assert_close(gradient.double(), slow[name], rtol=2e-3, atol=float(slow[name].abs().max()) * 1e-4)

    each_gradient(twin.dense, twin.model, matrices, FITTED, see)
    assert sorted(seen) == sorted(slow)
    scores = {n: (g * twin.dense_weight(n)).abs() * (twin.weight(n) == 0) for n, g in slow.items()}
    best = torch.cat([one.flatten() for one in scores.values()]).sort(descending=True).values
    chosen = most_wanted(twin, FITTED, 40)
    assert sum(map(len, chosen.values())) == 40
    for name, places in chosen.items():
        assert (scores[name].flatten()[places] >= 0.99 * best[39]).all()


def test_more_weights_are_fewer_weights_and_others() -> None:
    twin = halved("llama")
    before: set[tuple[str, int]] = set()
    for most in (1, 3, 50, 400, 5000):
        chosen = most_wanted(twin, FITTED, most)
        now = {(name, int(place)) for name, places in chosen.items() for place in places}
        assert len(now) == most
        assert before < now
        before = now


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("before", ["magnitude:0.5", "sparsegpt:0.5", "neurons:0.5+wanda:0.3@attn+drop-attn@layers=1"])
def test_a_setting_restores_its_share_and_only_pruned_weights(tmp_path: Path, architecture: str, before: str) -> None:
    dense = with_fingerprint(loaded(architecture))
    fitted = replace(FITTED, model=dense.info.fingerprint, name="tiny")
    path = str(tmp_path / "a+b.json")
    fitted.write(path)
    assert read_fitted(path) == fitted
    twin, was = pruned(dense, before)
    weights = {name: twin.weight(name).clone() for name in twin.state.changes}
    chosen_logits = None
    if "neurons" not in before:
        total = was.zeroed - was.zeroed_before
        with weights_restored(twin.model, twin, most_wanted(twin, fitted, round(0.1 * total))) as restored:
            chosen_logits = span_logits(restored, fitted)
    again, report = pruned(dense, f'{before}+restore:0.1@file="{path}"')
    assert report.setting.endswith(f'@file="{path}"')
    assert report.targeted == was.targeted
    came = 0
    for name, old in weights.items():
        new, whole = again.weight(name), twin.dense_weight(name)
        moved = new != old
        assert torch.equal(new[moved], whole[moved])
        assert bool((old[moved] == 0).all())
        came += int(moved.sum())
    assert came == was.zeroed - report.zeroed > 0
    assert any(f"restored {came:,} of" in note for note in report.notes)
    if chosen_logits is not None:
        assert came == round(0.1 * total)
        assert torch.equal(span_logits(again.model, fitted), chosen_logits)
    again.restore()
    assert torch.equal(logits(again.model), logits(dense.model))


def test_targets_limit_where_weights_come_back(tmp_path: Path) -> None:
    dense = with_fingerprint(loaded("llama"))
    replace(FITTED, model=dense.info.fingerprint).write(path := str(tmp_path / "f.json"))
    before, _ = pruned(dense, "magnitude:0.5")
    after, _ = pruned(dense, f"magnitude:0.5+restore:0.1@file={path}@mlp@layers=1")
    changed = {n for n in before.state.changes if not torch.equal(before.weight(n), after.weight(n))}
    assert changed
    assert all(".1.mlp." in name for name in changed)


def test_a_matrix_whose_weights_all_come_back_is_dense(tmp_path: Path) -> None:
    dense = with_fingerprint(loaded("llama"))
    replace(FITTED, model=dense.info.fingerprint).write(path := str(tmp_path / "f.json"))
    after, _ = pruned(dense, f"magnitude:0.5+restore:1@file={path}@name=q_proj")
    assert not any("q_proj" in name for name in after.state.changes)
    with pytest.raises(BadInput, match="is the dense model"):
        pruned(dense, f"magnitude:0.5@name=q_proj+restore:1@file={path}")


@pytest.mark.parametrize(
    ("setting", "change", "sentence"),
    [
        ("magnitude:0.5", {"model": "other", "name": "big"}, "fitted to other weights: those of big"),
        ("drop-attn@layers=1", {}, "no single weight is pruned"),
        ("neurons:0.5", {}, "no single weight is pruned"),
        ("magnitude:0.5@mlp", {"share": "1e-9"}, "that is none"),
        ("magnitude:0.5@layers=1", {"targets": "@layers=2"}, "no single weight is pruned"),
        ("magnitude:0.5", {"targets": "@name=nose"}, "not a matrix"),
        ("magnitude:0.5", {"targets": "@layers=7"}, "names layer 7"),
    ],
)
def test_what_would_restore_nothing_is_a_sentence(
    tmp_path: Path, setting: str, change: dict[str, str], sentence: str
) -> None:
    dense = with_fingerprint(loaded("llama"))
    model = change.get("model", dense.info.fingerprint)
    replace(FITTED, model=model, name=change.get("name", "")).write(path := str(tmp_path / "f.json"))
    share, targets = change.get("share", "0.1"), change.get("targets", "")
    with pytest.raises(BadInput, match=sentence):
        pruned(dense, f"{setting}+restore:{share}@file={path}{targets}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no text"),
        ("{}", "missing required field `ids`"),
        ('{"ids": [1], "positions": 2, "temperature": 1, "vocabulary": 9, "model": ""}', "compares 2 positions of 1"),
        ('{"ids": [-1], "positions": 1, "temperature": 1, "vocabulary": 9, "model": ""}', "names no text"),
        ('{"ids": [1], "positions": 1, "temperature": 0, "vocabulary": 9, "model": ""}', "names no text"),
        ('{"ids": [1], "positions": 1, "temperature": 1, "vocabulary": 9, "model": "", "format": 9}', "names no text"),
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(BadInput, match=sentence):
        read_fitted(str(tmp_path / "f.json"))


def test_a_missing_file_is_a_sentence_that_names_its_neighbour(tmp_path: Path) -> None:
    FITTED.write(str(tmp_path / "fitted.json"))
    with pytest.raises(BadInput, match="can't be read: no such file"):
        read_fitted(str(tmp_path / "fittd.json"))
    with pytest.raises(BadInput, match="it is a folder"):
        read_fitted(str(tmp_path))


def test_it_can_be_stopped_while_it_looks_back() -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        most_wanted(halved("llama"), FITTED, 10, work=Work(cancelled=stop))
