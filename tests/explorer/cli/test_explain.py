"""`phier explain`: tables and one object, of the step that is asked for, and a sentence for what can't be explained."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from torch import nn

from explorer.cli.main import phier
from explorer.recordings.compared_findings import in_words
from explorer.recordings.export.finding_rows import finding_tables
from explorer.sources.replay import ReplaySource
from probes.recording import read
from probes.schema.events import Explained
from probes.schema.explanation import Layers, Swaps
from tests.support.live import Listener
from tests.support.tiny import byte_tokenizer, save, tiny


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("explained") / "models", byte_tokenizer()
    for name, architecture, changes in (
        ("dense", "llama", {}),
        ("shallow", "llama", {"num_hidden_layers": 2}),
        ("single", "llama", {"num_hidden_layers": 1}),
        ("mamba", "mamba", {}),
    ):
        save(folder / name, tiny(architecture, vocab_size=len(tokenizer), **changes), tokenizer)
    model = tiny("llama", vocab_size=len(tokenizer))
    model.get_parameter("model.layers.1.mlp.down_proj.weight")[3, 3] = math.nan
    save(folder / "broken", model, tokenizer)
    model = tiny("llama", vocab_size=len(tokenizer))
    layers = model.get_submodule("model.layers")
    assert isinstance(layers, nn.ModuleList)
    del layers[1]
    model.config.num_hidden_layers = 2
    save(folder / "missing", model, tokenizer)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all tests: the calibration text of a model is written once."""
    monkeypatch.setenv("PHIER_CACHE", str(models.parent / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


def run(dense: Path, *words: object) -> Result:
    given = ["explain", "--dense", dense, "--prompt", "hello", "--raw", "--threads", 1, *words]
    return CliRunner().invoke(phier, [str(word) for word in given])


def as_json(dense: Path, *words: object) -> dict[str, Any]:
    answer = run(dense, *words, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


CULPRIT = ("--prune", "neurons:0.9@layers=1")


def test_the_object_names_the_one_sublayer_that_was_pruned(models: Path) -> None:
    found = as_json(models / "dense", *CULPRIT, "--at", 3)
    assert (found["at"], found["steps"], found["control"], found["kl_all_healed"]) == (3, 1, 0, 0)
    first = found["heal"][0]
    assert (first["layer"], first["sublayer"], first["kl_after"]) == (1, "mlp", 0)
    assert first["kl_before"] == first["kl_drop"] == found["kl"] > 0
    assert first["top_token_returns"] is True
    assert first["estimate"] > 0
    assert found["damage"][0]["kl_after"] == found["kl"]
    assert found["additivity"] == 1
    deviating = [(r["layer"], r["sublayer"]) for r in found["layers"] if r["same_input"]["p"]["kl"] > 0]
    assert deviating == [(1, "mlp")]
    last = found["layers"][-1]
    assert last["lens_dense"]["token_id"] == found["dense_token"]["token_id"]
    assert last["lens_pruned"]["token_id"] == found["pruned_token"]["token_id"]
    parts = found["split"]["parts"]
    assert [parts[0]["sublayer"], parts[-1]["sublayer"], len(parts)] == ["embedding", "head", 8]
    assert found["noise_floor"]["own_dtype"] == "float32"
    assert {row["cause"] for row in found["noise_floor"]["rows"]} >= {"bfloat16", "batch of 2", "eager attention"}
    quadrants = found["quadrants"]
    assert quadrants["both"] == pytest.approx(found["kl"], rel=1e-4)
    assert (quadrants["control"], quadrants["tried"], quadrants["cached"]) == (0, 6, 6)
    assert found["fork"]["dense_into_pruned"]["forced"] == found["dense_token"]["token"]


def test_inside_a_sublayer_are_matrices_and_heads(models: Path) -> None:
    found = as_json(models / "dense", "--prune", "heads:0.4", "--at", 3, "--inside", "attn 1")
    assert sorted(one["name"] for one in found["matrices"]) == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert [one["name"] for one in sorted(found["heads"], key=lambda one: one["name"])] == [
        *("group 0", "group 1", "head 0", "head 1", "head 2", "head 3")
    ]
    for one in (*found["matrices"], *found["heads"]):
        assert (one["layer"], one["sublayer"], one["piece"]) == (1, "attn", one["name"])
        assert one["damage"] >= 0
    assert "heads" not in as_json(models / "dense", *CULPRIT, "--at", 3, "--inside", "worst")  # an MLP
    shown = run(models / "dense", *CULPRIT, "--at", 3, "--inside", "worst")
    assert "Inside: matrices" in shown.stdout
    assert "mlp  1    down_proj" in shown.stdout
    for inside, words in (("attn", "no sublayer"), ("attn 7", "There is no 'attn 7'")):
        refused = run(models / "dense", *CULPRIT, "--at", 3, "--inside", inside)
        assert refused.exit_code == 2
        assert words in refused.stderr


def test_a_span_has_means_and_no_layers(models: Path) -> None:
    steps = [as_json(models / "dense", *CULPRIT, "--at", step, "--fork-steps", 1)["kl"] for step in (2, 3, 4)]
    found = as_json(models / "dense", *CULPRIT, "--span", "2:4")
    assert (found["span"], found["steps"]) == ([2, 4], 3)
    assert found["kl"] == pytest.approx(sum(steps) / 3, rel=1e-3)
    assert {"layers", "split"}.isdisjoint(found)
    assert "noise_floor" in found
    assert len(found["heal"]) == len(found["damage"]) == 6


def test_what_explains_a_step_is_recorded_and_plays_again(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "why.jsonl"
    found = as_json(models / "dense", *CULPRIT, "--at", 3, "--inside", "attn 1", "--record", path)
    recording = read(path)
    assert recording.notes == []
    assert len(recording.last.path) == 3
    swaps, layers = (next(e for e in recording.last.explanations if isinstance(e.found, k)) for k in (Swaps, Layers))
    assert (swaps.step, swaps.through, swaps.run, swaps.branch) == (3, None, 1, 0)
    assert isinstance(swaps.found, Swaps)
    assert isinstance(layers.found, Layers)
    assert [asdict(one) for one in swaps.found.heal] == found["heal"]
    assert [asdict(one) for one in layers.found.rows] == found["layers"]
    levels = {e.level: e.found for e in recording.last.explanations if isinstance(e.found, Swaps)}
    assert list(levels) == ["sublayer", "matrix", "head"]
    for level, key in (("matrix", "matrices"), ("head", "heads")):
        assert [one.piece for one in levels[level].heal] == [one["name"] for one in found[key]]
    source, heard = ReplaySource(path), Listener()
    source.open(heard)
    assert source.wait_idle(20)
    source.close()
    assert [event.found for event in heard.of(Explained)] == [event.found for event in recording.last.explanations]
    spans = tmp_path / "span.jsonl"
    as_json(models / "dense", *CULPRIT, "--span", "2:3", "--record", spans)
    (event,) = [event for event in read(spans).last.explanations if event.step]
    assert (event.step, event.through) == (2, 3)
    refused = run(models / "dense", *CULPRIT, "--at", 3, "--record", spans)
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr


def test_without_a_step_the_first_split_is_explained(models: Path) -> None:
    found = as_json(models / "dense", "--prune", "magnitude:0.9", "--steps", 30)
    assert found["dense_token"]["token_id"] != found["pruned_token"]["token_id"]
    assert found["parting"] is not None
    split = found["split"]
    assert (split["a"]["token_id"], split["b"]["token_id"]) == tuple(
        found[f"{side}_token"]["token_id"] for side in ("dense", "pruned")
    )
    assert split["verdict"] in ("near-tie", "confident flip")
    assert split["margin_dense"] >= 0 >= split["margin_pruned"]
    for side in ("dense", "pruned"):
        margin = split["a"][f"z_{side}"] - split["b"][f"z_{side}"]
        assert sum(part[side] for part in split["parts"]) == pytest.approx(margin, abs=1e-9)
    into_pruned, into_dense = found["fork"]["dense_into_pruned"], found["fork"]["pruned_into_dense"]
    assert into_pruned["forced"] == found["dense_token"]["token"]
    assert into_dense["forced"] == found["pruned_token"]["token"]
    shorter = as_json(models / "dense", "--prune", "magnitude:0.9", "--fork-steps", 2)["fork"]
    assert [run["steps"] for run in (into_pruned, shorter["dense_into_pruned"])] == [32, 2]
    assert into_pruned["text"].startswith(shorter["dense_into_pruned"]["text"])


def test_the_tables_of_a_split_end_in_sentences(models: Path) -> None:
    lines = run(models / "dense", "--prune", "magnitude:0.9", "--fork-steps", 3).stdout.splitlines()
    place = next(i for i, line in enumerate(lines) if "dense cache" in line)
    assert lines[place + 1].split()[:3] == ["dense", "weights", "0"]
    assert lines[place + 2].split()[:2] == ["pruned", "weights"]
    assert lines[place + 3].startswith("This token breaks ")
    assert sum(line.startswith(("With the dense token", "With the pruned token")) for line in lines) == 2


def test_the_tables_name_it_too(models: Path) -> None:
    answer = run(models / "dense", *CULPRIT, "--at", 3)
    assert answer.exit_code == 0, answer.stderr
    lines = answer.stdout.splitlines()
    heal = next(i for i, line in enumerate(lines) if line.strip().startswith("heal"))
    assert lines[heal + 1].split()[:2] == ["mlp", "1"]
    assert "the dense one" in lines[heal + 1]
    assert sum(line.lstrip("┆ ").split()[:2] == ["attn", "2"] for line in lines) == 4
    assert "Step 3" in answer.stdout
    assert "accumulated" in answer.stdout
    assert "The margin ln p(" in answer.stdout
    assert "moved by" in answer.stdout
    assert any(line.split()[:3] == ["batch", "of", "2"] for line in lines)
    spans = run(models / "dense", *CULPRIT, "--span", "2:3").stdout
    assert "Steps 2 to 3" in spans
    assert "accumulated" not in spans


@pytest.mark.parametrize("follow", ["pruned", "free"])
def test_other_contexts_are_explained_where_both_models_read_the_same(models: Path, follow: str) -> None:
    found = as_json(models / "dense", *CULPRIT, "--follow", follow, "--at", 4)
    assert (found["heal"][0]["layer"], found["heal"][0]["sublayer"], found["heal"][0]["kl_after"]) == (1, "mlp", 0)


def test_one_layer_is_explained_with_a_note(models: Path) -> None:
    answer = run(models / "single", "--prune", "magnitude:0.9", "--at", 2)
    assert answer.exit_code == 0, answer.stderr
    assert "The model has one layer, so its lens is its output." in answer.stderr


def test_the_first_step_that_is_not_finite_is_explained_too(models: Path) -> None:
    answer = run(models / "dense", "--pruned", models / "broken", "--json")
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["at"] == 1
    first = found["heal"][0]
    assert (first["layer"], first["sublayer"], first["kl_after"]) == (1, "mlp", 0)
    assert "Layers, split, quadrants: The pruned model computes NaN" in answer.stderr
    assert "-0 " not in run(models / "dense", "--pruned", models / "broken", "--at", 1).stdout


def test_what_still_works_is_offered(models: Path) -> None:
    at = ("--at", 2, "--fork-steps", 1, "--json")
    missing = run(models / "dense", "--pruned", models / "missing", *at)
    assert missing.exit_code == 0, missing.stderr
    assert {"layers", "split", "noise_floor", "heal"} <= json.loads(missing.stdout).keys()
    assert "Layers that the second model lacks count as dropped: 1." in missing.stderr
    assert "Quadrants: The two models' caches can't be exchanged" in missing.stderr
    shallow = run(models / "dense", "--pruned", models / "shallow", *at)
    assert shallow.exit_code == 0, shallow.stderr
    assert {"split", "noise_floor"} <= json.loads(shallow.stdout).keys()
    assert "layer 2 has no counterpart in the pruned model" in shallow.stderr
    mamba = run(models / "mamba", "--prune", "magnitude:0.5", *at)
    assert mamba.exit_code == 0, mamba.stderr
    assert "can't be told apart" in mamba.stderr
    assert "heal" not in json.loads(mamba.stdout)


def test_layers_that_can_not_be_aligned_leave_dashes_and_a_note(models: Path, tmp_path: Path) -> None:
    words = ("--pruned", models / "shallow", "--at", 2)
    answer = run(models / "dense", *words, "--record", tmp_path / "run.jsonl")
    assert answer.exit_code == 0, answer.stderr
    assert "layer 2 has no counterpart in the pruned model" in answer.stderr
    first = next(line for line in answer.stdout.splitlines() if "attn 0" in line)
    assert first.partition("attn 0")[2].split()[:2] == ["–", "–"]
    assert "heal" not in answer.stdout
    recorded = read(tmp_path / "run.jsonl").run.explained_path()
    found = next(event.found for event in recorded if isinstance(event.found, Layers))
    assert [row.same_input for row in found.rows] == [None] * 6
    (row, *_) = finding_tables(found, "")["layers"]
    assert "accumulated.p.kl" in row
    assert not any(key.startswith("same_input") for key in row)
    assert [what for what, _ in in_words(found)] == ["parting layer"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--at", "0"), "Step 0 is not there"),
        (("--at", "400"), "Step 400 is not there: the run has steps 1 to"),
        (("--span", "4:3"), "The span 4:3 has no steps"),
        (("--span", "2:3", "--fork-steps", "4"), "--fork-steps has no effect with --span"),
        (("--span", "3"), "is no span of steps"),
        (("--span", "0:3"), "is no span of steps"),
        (("--at", "3", "--span", "3:4"), "Give one of them"),
        (("--at", "3", "--steps", "5"), "--steps has no effect"),
        (("--pruned", "dense", "--steps", "3"), "the same tokens in all 3 steps"),
        (("--dense", "broken", "--pruned", "dense", "--at", "3"), "mlp.down_proj, so the run ends at step 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_can_not_be_explained_is_a_sentence(models: Path, words: tuple[str, ...], sentence: str) -> None:
    given = [str(models / word) if word in ("dense", "broken") else word for word in words]
    prune = [] if {"--prune", "--pruned"} & {*given} else ["--prune", "magnitude:0.5"]
    answer = run(models / "dense", *prune, *given)
    assert answer.exit_code == (1 if "broken" in words else 2), (answer.stdout, answer.stderr, answer.exception)
    assert sentence in answer.stderr
    assert answer.stdout == ""
