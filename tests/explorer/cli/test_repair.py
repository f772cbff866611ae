"""`phier repair`: what is given back, the setting and its gain, and a sentence for what can't be repaired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from explorer.cli.main import phier
from probes.explain import held_out
from probes.recording.reader import read
from probes.schema.repair import Repair
from tests.support.tiny import byte_tokenizer, save, tiny


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("models") / "dense", byte_tokenizer()
    save(folder, tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    return folder


@pytest.fixture(autouse=True)
def _little_and_apart(dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calibration text is written once for all tests."""
    monkeypatch.setattr(held_out, "STEPS", 3)
    monkeypatch.setenv("PHIER_CACHE", str(dense.parent / "cache"))
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "120")


def run(dense: Path, *words: object) -> Result:
    given = ["repair", "--dense", dense, "--prompt", "hello", "--raw", "--threads", 1, *words]
    return CliRunner().invoke(phier, [str(word) for word in given])


CULPRITS = ("--prune", "magnitude:0.1+neurons:0.9@layers=1+magnitude:0.95@attn@layers=0")


def test_the_object_has_the_setting_and_what_it_gains(dense: Path, tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    answer = run(dense, *CULPRITS, "--span", "3:6", "--target-kl", 0.01, "--json", "--record", record)
    assert answer.exit_code == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    assert found["steps"] == [3, 6]
    assert {(one["layer"], one["sublayer"]) for one in found["given_back"]} == {(1, "mlp"), (0, "attn")}
    assert found["reached"] is True
    assert found["setting"].startswith(CULPRITS[1] + "+dense@")
    assert found["span"]["kl_after"] <= 0.01 < found["span"]["kl_before"]
    assert found["held_out"]["steps"] == 3
    repaired = read(record).last.explanations[0]
    assert (repaired.step, repaired.through, repaired.level) == (3, 6, "sublayer")
    assert isinstance(repaired.found, Repair)
    assert (repaired.found.setting, repaired.found.span.kl_after) == (found["setting"], found["span"]["kl_after"])
    again = run(dense, "--prune", found["setting"], "--span", "3:6", "--target-kl", 0.0001, "--json")
    assert json.loads(again.stdout)["span"]["kl_before"] == found["span"]["kl_after"]


def test_the_table_lists_what_is_given_back_and_ends_with_the_setting(dense: Path) -> None:
    answer = run(dense, *CULPRITS, "--span", "3:6", "--target-kl", 0.01, "--held-out", "another")
    assert answer.exit_code == 0, answer.stderr
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert ["attn", "0"] in [line[:2] for line in lines]
    assert ["mlp", "1"] in [line[:2] for line in lines]
    assert "3 steps after “another”" in answer.stdout
    assert lines[-1][0].startswith("magnitude:0.1+")


def test_a_target_that_only_the_dense_model_reaches_is_a_sentence(dense: Path) -> None:
    answer = run(dense, *CULPRITS, "--span", "3:6", "--target-kl", 0)
    assert answer.exit_code == 0, answer.stderr
    assert "The target is not reached" in answer.stdout
    assert "only the dense model itself reaches it" in answer.stdout


def test_without_a_target_the_first_split_goes(dense: Path) -> None:
    answer = run(dense, "--prune", "magnitude:0.9", "--json")
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["target_no_split"] is True
    assert (found["span"]["agree_before"], found["span"]["agree_after"]) == (0, 1)


@pytest.mark.parametrize("prompt", [" a/b.txt", "either / or", "Read a.txt and b"])
def test_a_held_out_prompt_may_look_like_a_file(dense: Path, prompt: str) -> None:
    answer = run(dense, *CULPRITS, "--at", 3, "--budget", 9000, "--held-out", prompt, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)["held_out_text"] == f"3 steps after “{prompt.strip()}”"


def test_a_held_out_file_is_read(dense: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("from a file")
    answer = run(dense, *CULPRITS, "--at", 3, "--budget", 9000, "--held-out", tmp_path / "text.txt", "--json")
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["held_out_text"] == "3 steps after “from a file”"
    assert found["parameters"] <= 9000


def test_weights_are_written_into_the_file_that_was_named(dense: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    words = ("--prune", "magnitude:0.5", "--span", "3:6", "--level", "weight", "--budget", 300, "--out", path, "--json")
    answer = run(dense, *words)
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["setting"].endswith(f"@file={path}")
    assert json.loads(path.read_text())["positions"] == 4
    path.unlink()
    refused = run(dense, "--prune", found["setting"], "--at", 3, "--budget", 10)
    assert refused.exit_code == 2
    assert "can't be read: no such file" in refused.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--at", 0), "Step 0 is not there"),
        (("--span", "4:3"), "The span 4:3 has no steps"),
        (("--at", 3, "--target-kl", -1), "-1 is not a KL"),
        (("--at", 3, "--target-agreement", 2), "2.0 is not a share"),
        (("--at", 3, "--budget", 0), "gives nothing back"),
        (("--at", 3, "--budget", 1), "A budget of 1 parameters is less than any sublayer"),
        (("--at", 3, "--target-kl", 99), "Nothing to repair"),
        (("--at", 3, "--held-out", " "), "The text is empty"),
        (("--at", 3, "--held-out", "missing.txt"), "There is no file missing.txt. Name a file that is there. To give"),
        (("--at", 3, "--held-out", "My notes.TXT"), "There is no file My notes.TXT."),
        (("--at", 3, "--held-out", "texts/one"), "There is no file texts/one."),
        (("--at", 3, "--held-out", "/"), "/ is a folder"),
        (("--at", 3, "--out", "x.json"), "--out has no effect with --level sublayer"),
        (("--at", 3, "--steps", 5), "--steps has no effect"),
    ],
    ids=str,
)
def test_what_can_not_be_repaired_is_a_sentence(dense: Path, words: tuple[object, ...], sentence: str) -> None:
    answer = run(dense, "--prune", "magnitude:0.5", *words)
    assert answer.exit_code == 2, (answer.stdout, answer.stderr, answer.exception)
    assert sentence in answer.stderr
    assert answer.stdout == ""


def test_a_model_made_elsewhere_is_refused_before_it_is_loaded(dense: Path) -> None:
    answer = run(dense, "--pruned", dense, "--at", 3)
    assert answer.exit_code == 2
    assert "is not pruned here" in answer.stderr
