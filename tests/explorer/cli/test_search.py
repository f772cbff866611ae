"""`phier search`: its table, its JSON, and the command that opens a passage."""

from __future__ import annotations

import json
import math
import shlex
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
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("models")
    model = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=64)
    text = root / "text.txt"
    text.write_text(TEXT)
    models = save(root / "dense", model, TOKENIZER), save(root / "other", damaged(model, 0.4), TOKENIZER)
    return ["search", str(text), "--dense", str(models[0]), "--pruned", str(models[1]), "--threads", "1"]


def run(*words: str) -> str:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(phier, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_passages_are_listed_with_their_figures_and_the_worst_token_marked(words: list[str]) -> None:
    out = run(*words, "--by", "max-kl", "--most", "3")
    found = json.loads(run(*words, "--by", "max-kl", "--most", "3", "--json"))
    assert found["order"] == "max_kl"
    assert len(found["rows"]) == 3
    lines = out.splitlines()
    for number, row in enumerate(found["rows"], 1):
        shown = next(line for line in lines if line.startswith(f"{number} "))
        assert shown.rstrip().endswith(f"text.txt, character {row['place']:,}")
        start, end = row["worst"]
        assert f"[{row['text'][start:end]}]" in out
    assert f"{found['scored']} passages of {found['tokens']} tokens" in out


def test_the_command_of_a_passage_gives_its_figures(words: list[str]) -> None:
    found = json.loads(run(*words, "--most", "1", "--json"))
    (row,) = found["rows"]
    program, *command = shlex.split(row["command"])
    assert program == "phier-tui"
    assert f"--dense {words[3]}" in row["command"]
    steps = [json.loads(line) for line in run("run", *command, "--threads", "1", "--json").splitlines()]
    summary = steps[-1]["summary"]
    assert summary["compared"] == row["steps"]
    assert summary["kl"]["mean"] == pytest.approx(row["mean_kl"], rel=1e-3)


def test_the_texts_of_a_set_that_ships_are_searched(words: list[str]) -> None:
    found = json.loads(run("search", "facts", *words[2:], "--most", "1", "--json"))
    assert (found["rows"][0]["source"], found["scored"] > 0) == ("facts", True)


def test_a_narrow_table_cuts_no_figure(words: list[str]) -> None:
    result = CliRunner(env={"COLUMNS": "60"}).invoke(phier, [*words, "--most", "3"], catch_exceptions=False)
    assert "…" not in result.stdout.split("\n\n")[0]


def test_models_that_are_finite_nowhere_have_no_passages(words: list[str], tmp_path: Path) -> None:
    model = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=64)
    model.get_input_embeddings().weight.data[:] = math.nan
    broken = save(tmp_path / "broken", model, TOKENIZER)
    out = run(*words[:5], str(broken), *words[6:])
    assert out.startswith("No passage has figures: nowhere in ")
    assert out.endswith("tokens are both models finite.\n")


@pytest.mark.parametrize(
    ("more", "message"),
    [(["none.txt"], "There is no file"), (["."], "has no file that ends in"), (["a.txt", "--by", "size"], "--by")],
)
def test_mistakes_get_a_sentence_before_anything_is_loaded(tmp_path: Path, more: list[str], message: str) -> None:
    (tmp_path / "a.bin").write_text("a")
    result = shell.phier("search", *more, folder=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
