"""`phier score`: its tables, its JSON and its sentences."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from explorer.cli.main import phier
from tests.support import shell
from tests.support.scoring import TEXT
from tests.support.stepping import damaged
from tests.support.tiny import byte_tokenizer, save, tiny

TOKENIZER = byte_tokenizer(chat=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A dense model, one made elsewhere, and a text."""
    root = tmp_path_factory.mktemp("models")
    model = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=64)
    text = root / "text.txt"
    text.write_text(TEXT)
    return save(root / "dense", model, TOKENIZER), save(root / "other", damaged(model), TOKENIZER), text


def run(*words: object) -> str:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(phier, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_several_settings_and_models_are_columns_of_one_table(folders: tuple[Path, Path, Path]) -> None:
    dense, other, text = folders
    words = ("score", text, "--dense", dense, "--window", 32, "--threads", 1)
    out = run(*words, "--prune", "magnitude:0.3", "--prune", "magnitude:0.6", "--pruned", other)
    heading = next(line for line in out.splitlines() if "magnitude:0.6" in line)
    assert heading.split() == ["magnitude:0.3", "magnitude:0.6", "other"]
    positions = len(TOKENIZER(TEXT)["input_ids"])
    rows = {line[:28].strip(): line[28:].split() for line in out.splitlines() if line.strip()}
    assert rows["positions"] == [str(positions)] * 3
    for name in ("perplexity ratio", "KL, 99.9 %", "Δp, root mean square", "1 − centred cos z", "KL by Theorem 3"):
        assert name in out
    for kind in ("[0, 0.25)", "16 to 31", "word continuation"):
        assert kind in out


def test_a_model_that_is_finite_nowhere_has_null_figures(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    dense, _, text = folders
    model = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=64)
    model.get_input_embeddings().weight.data[:] = math.nan
    broken = save(tmp_path / "broken", model, TOKENIZER)
    words = ("score", text, "--dense", dense, "--pruned", broken, "--threads", 1)
    found = json.loads(run(*words, "--json", "--results", tmp_path / "results.json"))
    (row,) = found["rows"]
    assert (row["positions"], row["ppl_pruned"], row["kl"]["mean"]) == (0, None, None)
    assert row["kl_spread"]["quantiles"] == [None] * 9
    assert found["nonfinite"]["rows.0.kl_spread.quantiles.0"] == "nan"
    assert "undef." in run(*words)


def test_the_results_file_holds_what_json_prints(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    dense, other, text = folders
    results = tmp_path / "results.json"
    words = ("score", text, "--dense", dense, "--pruned", other, "--threads", 1, "--json", "--results", results)
    printed = json.loads(run(*words))
    assert json.loads(results.read_bytes()) == printed
    (row,) = printed["rows"]
    assert printed["window"] == 64
    assert row["kl"]["mean"] > 0
    assert len(row["kl_spread"]["quantiles"]) == len(printed["quantiles"]) == 9
    again = CliRunner().invoke(phier, [*map(str, words)])
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_a_reference_is_saved_once_and_scored_against_without_the_dense_model(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    dense, other, text = folders
    saved = tmp_path / "saved"
    words = ("--window", 32, "--threads", 1)
    runner = CliRunner(env={"COLUMNS": "160"})
    result = runner.invoke(phier, [*map(str, ("score", text, "--dense", dense, "--save-reference", saved, *words))])
    assert result.exit_code == 0, result.output
    assert "bytes a position" in result.stderr
    assert result.stdout == ""
    (exact,) = json.loads(run("score", text, "--dense", dense, "--pruned", other, "--json", *words))["rows"]
    found = json.loads(run("score", "--reference", saved, "--pruned", other, "--json", "--threads", 1))
    (row,) = found["rows"]
    assert row["kl"]["mean"] <= exact["kl"]["mean"] + 1e-9
    assert row["kl_upper"]["mean"] >= exact["kl"]["mean"] - 1e-9
    assert row["ppl_pruned"] == pytest.approx(exact["ppl_pruned"])
    assert found["texts"] == ["text.txt"]
    out = run("score", text, "--reference", saved, "--pruned", other, "--pruned", dense, "--threads", 1)
    assert " to " in next(line for line in out.splitlines() if line.startswith("KL(p‖q)"))
    assert "KL(q‖p)" not in out
    assert "1 − cos h" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.txt"], "There is no file none.txt"),
        ([], "No file with a text was named"),
        (["latin.txt"], "not UTF-8"),
        (["text.txt", "--stride", "0"], "0 is not in the range"),
        (["text.txt", "--window", "1"], "1 is not in the range"),
        (["text.txt", "--prune", "wanda:x"], "wanda:x"),
        (["text.txt", "--prune", "magnitude:0.5", "--samples", "4"], "--samples has no effect"),
        (["text.txt", "--results", "no/such/file"], "in a folder that does not exist"),
        (["text.txt", "--save-reference", "text.txt"], "is there already"),
        (["text.txt", "--reference-top", "9"], "--reference-top has no effect without --save-reference"),
        (["--reference", "r", "--prune", "wanda:0.5"], "--prune has no effect with --reference"),
        (["--reference", "r", "--pruned", "m", "--window", "9"], "--window has no effect with --reference"),
        (["--reference", "r"], "--reference needs a second model"),
        (["text.txt", "--results", "x", "--save-reference", "y"], "--results has no effect with --save-reference"),
    ],
)
def test_mistakes_get_a_sentence_before_anything_is_loaded(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "text.txt").write_text("a text")
    (tmp_path / "latin.txt").write_bytes(b"gr\xfcn")
    result = shell.phier("score", *words, folder=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
