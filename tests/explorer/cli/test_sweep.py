"""`phier sweep` on a tiny model: a whole sweep, going on with it, looking before it, and bad input."""

from __future__ import annotations

import json
import signal
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from explorer.cli.main import phier
from explorer.cli.sweep_progress import SweepBar, estimate_sentence, progress_sentence
from probes.schema.sweep import SweepProgress
from probes.sweep import worker
from probes.sweep.estimate import SweepEstimate
from tests.support.formula_sweep import SETTINGS, some_sweep, write_sweep
from tests.support.tiny import byte_tokenizer, save, tiny

QUESTIONS = [{"question": f"Which is {n}?", "choices": ["one", "two", "three"], "answer": n} for n in range(3)]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_tokenizer()
    return save(tmp_path_factory.mktemp("models") / "tiny", tiny("llama", vocab_size=len(tokenizer)), tokenizer)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    Path("choose.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    return tmp_path


def sweep(*words: object) -> Result:
    return CliRunner().invoke(phier, ["sweep", *map(str, words)])


def on(dense: Path, *words: object) -> Result:
    given = () if "--tasks" in words else ("--tasks", "choose.jsonl")
    return sweep("--dense", dense, "--threads", 1, *given, *words)


def test_a_sweep_is_shown_and_gone_on_with(dense: Path) -> None:
    # A shell turns drop-attn:{1..2} without quotes into two words.
    first = on(dense, "--settings", "magnitude:{0.3,0.9}", "drop-attn@layers=1", "drop-attn@layers=2")
    assert first.exit_code == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("magnitude:", "drop-attn@"))] == [
        *("magnitude:0.3", "magnitude:0.9", "drop-attn@layers=1", "drop-attn@layers=2")
    ]
    assert "4 of 4 cells to compute: about" in first.stderr
    assert "The time is estimated once a cell is computed." in first.stderr
    assert "magnitude:0.9 on choose: " in first.stderr
    assert "The sweep is in sweep.jsonl." in first.stderr
    again = sweep("sweep.jsonl", "--json")
    assert again.exit_code == 0, again.stderr
    assert "to compute" not in again.stderr
    made = json.loads(again.stdout)
    assert [one["cell"]["setting"] for one in made["cells"]] == [one["setting"] for one in made["header"]["cells"]]
    assert {curve["family"] for curve in made["curves"]} >= {"magnitude:{}"}


def test_a_plan_is_looked_at_before_anything_is_computed(dense: Path) -> None:
    Path("plan.toml").write_text(
        f'settings = ["magnitude:{{0.3,0.5}}"]\ndense = "{dense}"\ntasks = ["choose.jsonl"]\nseeds = [0, 1]\n'
        "[load]\nthreads = 1\n"
    )
    looked = sweep("plan.toml", "--check")
    assert looked.exit_code == 0, looked.stderr
    assert "2 of 2 cells to compute: about" in looked.stdout
    assert "2 seeds are one cell wherever nothing is drawn at random" in looked.stderr
    assert not Path("plan.jsonl").exists()
    assert sweep("plan.toml").exit_code == 0
    known = json.loads(sweep("plan.toml", "--check", "--json").stdout)
    assert [one["known"] for one in known["cells"]] == [True, True]
    assert (known["estimate"]["cells"], known["estimate"]["seconds"]) == (0, 0)


def test_a_failing_cell_is_named_and_its_exit_code_is_1(dense: Path) -> None:
    found = on(dense, "--settings", "drop-attn:{1,9}", "--samples", 2, "--length", 8)
    assert found.exit_code == 1
    assert "failed" in found.stdout
    assert "drop-attn:9 on choose: Too many to drop: drop-attn:9 asks for 9 of 3" in found.stdout


def test_a_person_who_stops_it_is_told_how_to_go_on(dense: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> object:
        return signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(worker, "score_items", stopped)
        found = on(dense, "--settings", "magnitude:0.5", "--out", "mine.jsonl")
    assert found.exit_code == 130
    assert "Stopped. phier sweep mine.jsonl goes on." in found.stderr
    assert sweep("mine.jsonl").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "The sweep has no settings"),
        (("--settings", "wanda:{0.1..0.7}"), "The step is missing"),
        (("--settings", "wanda:0.5", "--seeds", "a"), "a are no seeds"),
        (("--settings", "wanda:0.5", "--steps", "3"), "--steps has no effect without --prompt"),
        (("none.toml",), "none.toml can't be read"),
        (("none.jsonl",), "none.jsonl can't be read"),
        (("choose.jsonl",), "choose.jsonl is no sweep's file"),
        (("choose.jsonl", "--settings", "wanda:0.5"), "has its own settings"),
        (("wunda:{0.1,0.2}", "--tasks", "choose.jsonl"), "wunda"),
        (("magnitude:0.5", "--workers", "99999"), "99,999 processes can't be used"),
        (("choose.jsonl", "--most", "3"), "--most has no effect on a plan or a sweep's file"),
    ],
)
def test_bad_input_is_refused_at_once(words: tuple[str, ...], message: str) -> None:
    found = sweep(*words)
    assert found.exit_code == 2
    assert message in found.stderr


def test_the_progress_is_a_sentence_and_without_a_terminal_seldom_a_line() -> None:
    progress = SweepProgress(12, 1, 60, (("wanda:0.3 on facts", 0.45),), 1290.4)
    sentence = "12 of 60 cells done, 1 failed · wanda:0.3 on facts 45 % · about 21:30 left"
    assert progress_sentence(progress) == sentence
    assert progress_sentence(SweepProgress(58, 0, 60, (), 12.0, 2)) == (
        "58 of 60 cells done · 2 computed by other programs"
    )
    many = SweepProgress(0, 0, 60, tuple((f"wanda:0.{n} on facts", 0.0) for n in range(5)), None)
    assert progress_sentence(many).endswith("wanda:0.2 on facts 0 %, 2 more")
    now = iter((0.0, 1.0, 16.0, 16.0, 20.0))
    written = StringIO()
    with SweepBar(Console(file=written, width=100), clock=lambda: next(now)) as bar:
        bar.show(many)
        bar.show(progress)
        bar.show(progress)
    assert written.getvalue() == f"{sentence}\n"


def test_the_estimate_says_what_it_follows_from() -> None:
    known = estimate_sentence(SweepEstimate(45, 3750, 1_400_000_000, True), 60)
    assert known == (
        "45 of 60 cells to compute: about 1:02:30, and 1.4 GB of memory a worker, by the cells that are known."
    )
    assert estimate_sentence(SweepEstimate(60, 60, 1_400_000_000, False), 60) == (
        "60 of 60 cells to compute: about 1.4 GB of memory a worker. The time is estimated once a cell is computed."
    )
    assert estimate_sentence(SweepEstimate(0, 0, 1, True), 60) == "All 60 cells are known."


def test_a_file_that_is_complete_is_printed_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(Path(), some_sweep(SETTINGS[:2]))
    monkeypatch.setattr("probes.sweep.sweep_file.sweep_versions", lambda: some_sweep().header.versions)
    monkeypatch.setattr("explorer.cli.sweep.workers_asked", None)
    shown = sweep("sweep.jsonl")
    assert shown.exit_code == 0, shown.stderr
    assert "safe up to" in shown.stdout
    assert len(json.loads(sweep("sweep.jsonl", "--json").stdout)["cells"]) == 8
