"""`phier prune` and `phier inspect`: what they write, print and refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from transformers.models.auto import AutoModelForCausalLM

from explorer.cli.main import phier
from tests.support.tiny import byte_tokenizer, save, tiny


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_tokenizer()
    return save(tmp_path_factory.mktemp("models") / "dense", tiny("llama", vocab_size=len(tokenizer)), tokenizer)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


def run(*words: object) -> Result:
    return CliRunner().invoke(phier, [str(word) for word in words])


def as_json(*words: object) -> dict[str, Any]:
    answer = run(*words, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_a_pruned_folder_is_written_and_what_was_measured_is_printed(dense, tmp_path):
    answer = run("prune", "--dense", dense, "--prune", "magnitude:2:4@mlp", "--out", tmp_path / "out")
    assert answer.exit_code == 0, answer.stderr
    assert "9 of 29 tensors differ" in answer.stdout
    assert "2:4 in gate_proj, up_proj, down_proj of layers 0-2" in answer.stdout
    assert str(tmp_path / "out") in answer.stdout
    weight = AutoModelForCausalLM.from_pretrained(tmp_path / "out").model.layers[2].mlp.up_proj.weight
    assert int((weight == 0).sum()) == weight.numel() // 2


def test_the_json_of_prune_is_one_object_with_the_making_and_the_measuring(dense, tmp_path):
    found = as_json(
        "prune", "--dense", dense, "--prune", "drop-attn@layers=1+magnitude:0.5@mlp", "--out", tmp_path / "o"
    )
    assert found["folder"] == str(tmp_path / "o")
    assert found["made"]["setting"] == "drop-attn@layers=1+magnitude:0.5@mlp"
    assert found["made"] == json.loads((tmp_path / "o" / "phier.json").read_text())
    assert found["measured"]["dropped"] == ["attn 1"]
    assert found["measured"]["zeroed"] == found["made"]["zeroed"] > 0


def test_calibration_options_decide_the_masks_and_are_recorded(dense, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the king and the queen went to the sea. " * 60)
    common = ("prune", "--dense", dense, "--prune", "wanda:0.5", "--calibration", text, "--samples", 3, "--length", 20)
    first = as_json(*common, "--out", tmp_path / "a")["made"]
    seeded = as_json(*common, "--prune-seed", 5, "--out", tmp_path / "b")["made"]
    again = as_json(*common, "--seed", 5, "--out", tmp_path / "c")["made"]
    assert (first["calibration"]["samples"], first["calibration"]["length"], first["calibration"]["seed"]) == (
        3,
        20,
        None,
    )
    assert seeded["calibration"]["seed"] == 5
    assert seeded["calibration"]["sha256"] != first["calibration"]["sha256"]
    assert seeded["mask_hash"] == again["mask_hash"]
    assert seeded["fingerprint"] == again["fingerprint"]


def test_a_folder_is_written_in_the_dtype_that_is_asked_for(dense, tmp_path):
    made = as_json(
        "prune", "--dense", dense, "--prune", "magnitude:0.5", "--dtype", "bfloat16", "--out", tmp_path / "out"
    )["made"]
    assert made["dense"]["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--prune", "wnda:0.5"), "not a method"),
        (("--prune", "drop-mlp@layers=7"), "No such sublayer|layer"),
        (("--prune", "magnitude:0.5", "--samples", "-1"), "numbers of at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_can_not_be_pruned_is_refused_and_nothing_is_written(words, sentence, dense, tmp_path):
    answer = run("prune", "--dense", dense, *words, "--out", tmp_path / "out")
    assert answer.exit_code == 2
    assert any(part in answer.stderr for part in sentence.split("|"))
    assert answer.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_taken_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "file").write_text("mine")
    answer = run("prune", "--dense", "/no/such/model", "--prune", "magnitude:0.5", "--out", tmp_path)
    assert answer.exit_code == 2
    assert "is not empty" in answer.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_inspecting_a_folder_says_what_it_holds_and_how_it_was_made(dense, tmp_path):
    run("prune", "--dense", dense, "--prune", "drop-block@layers=1+magnitude:0.5@mlp", "--out", tmp_path / "out")
    answer = run("inspect", tmp_path / "out", "--against", dense)
    assert answer.exit_code == 0, answer.stderr
    for words in (
        "drop-block@layers=1+magnitude:0.5@mlp of dense",
        "those that were saved",
        "block 1",
        "6 of 20 tensors differ",
        "It has 2 of the dense model's 3 layers; missing: 1.",
    ):
        assert words in answer.stdout


def test_the_json_of_inspect_is_one_object(dense, tmp_path):
    run("prune", "--dense", dense, "--prune", "magnitude:0.5", "--out", tmp_path / "out")
    alone = as_json("inspect", tmp_path / "out")
    assert (alone["against"], alone["measured"]["compared"]) == (None, None)
    assert alone["unchanged"] is True
    held = as_json("inspect", tmp_path / "out", "--against", dense)
    assert held["measured"]["compared"] == 29
    assert {tensor["name"].split(".")[-1] for tensor in held["measured"]["tensors"]} == {"weight"}
    assert all(0 < tensor["relative"] < 1 for tensor in held["measured"]["tensors"])


def test_another_model_than_the_one_it_was_made_of_is_said_to_be_one(dense, tmp_path):
    tokenizer = byte_tokenizer()
    other = save(tmp_path / "other", tiny("llama", seed=3, vocab_size=len(tokenizer)), tokenizer)
    run("prune", "--dense", dense, "--prune", "magnitude:0.5", "--out", tmp_path / "out")
    assert "another model than other" in run("inspect", tmp_path / "out", "--against", other).stdout
    assert "another model" not in run("inspect", tmp_path / "out", "--against", dense).stdout


def test_the_dense_model_against_itself_is_warned_of(dense):
    answer = run("inspect", dense, "--against", dense)
    assert answer.exit_code == 0
    assert "Warning: The second model is the dense model" in answer.stdout


def test_a_run_of_a_model_against_itself_is_warned_of_on_standard_error(dense):
    answer = run("run", "--dense", dense, "--pruned", dense, "--steps", "2", "--raw", "--json")
    assert answer.exit_code == 0
    assert "Warning: The second model is the dense model" in answer.stderr
    assert all(json.loads(line) for line in answer.stdout.splitlines())
    assert json.loads(answer.stdout.splitlines()[-1])["prune"]["warnings"]


def test_a_folder_that_holds_no_model_is_a_sentence(tmp_path):
    answer = run("inspect", tmp_path)
    assert answer.exit_code == 2
    assert "no config.json" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_their_help_needs_no_torch():
    code = (
        "import sys; from explorer.cli.main import phier\n"
        "for words in (['prune', '--help'], ['inspect', '--help']):\n"
        "    try: phier(words)\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    for option in ("--prune", "--out", "--calibration", "--samples", "--length", "--prune-seed", "--against", "--json"):
        assert option in shown
