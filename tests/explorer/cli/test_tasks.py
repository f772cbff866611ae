"""`phier tasks` and `phier verdict` on tiny models: results that are kept and gone on with, exports, bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from explorer.cli.main import phier
from probes.tasks import scored_items
from probes.tasks.results_file import ResultsHeader, read_results, results_file
from tests.support.tiny import byte_tokenizer, save, tiny

QUESTIONS = [
    {"question": f"Which is {n}?", "choices": ["one", "two", "three", "four"], "answer": n % 4} for n in range(6)
]
PROMPTS = [{"prompt": f"Count to {n}:", "target": str(n)} for n in range(4)]
PASSAGES = [
    {"query": f"word {n}", "positive": f"A text on {n}.", "documents": [f"A text on {m}." for m in range(5)]}
    for n in range(3)
]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("models") / "dense", byte_tokenizer()
    save(folder, tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    for name, rows in (("choose", QUESTIONS), ("answer", PROMPTS), ("find", PASSAGES)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "bad.jsonl").write_text(json.dumps(QUESTIONS[0]) + '\n{"question": "?", "answer": 0}\n')
    return tmp_path


def run(*words: object) -> Result:
    return CliRunner().invoke(phier, [str(word) for word in words])


def on(dense: Path, command: str, *words: object, prune: str = "magnitude:0.6") -> Result:
    return run(command, "--dense", dense, "--prune", prune, "--threads", 1, "--new-tokens", 4, *words)


ALL = ("--tasks", "choose.jsonl,find.jsonl", "--tasks", "answer.jsonl")


def rows(answer: Result) -> dict[str, Any]:
    assert answer.exit_code == 0, answer.stderr
    return {row["task"]: row for row in json.loads(answer.stdout)["rows"]}


def test_an_exact_copy_loses_exactly_nothing(dense: Path) -> None:
    same = run("verdict", "--dense", dense, "--pruned", dense, "--new-tokens", 4, "--threads", 1, *ALL, "--json")
    for row in rows(same).values():
        assert (row["difference"]["value"], row["lost"], row["gained"], row["agreement"]) == (0, 0, 0, 1)
        assert (row["spaces"]["kl"], row["spaces"]["h"]) == (0, 0)
    assert "identical" in same.stderr


def test_tasks_lists_every_item_if_asked(dense: Path) -> None:
    plain = on(dense, "tasks", "choose.jsonl", "answer.jsonl", "--items", "--results", "kept.jsonl")
    assert plain.exit_code == 0, plain.stderr
    assert "choose · options · by continuation · 6 items" in plain.stdout
    assert "answer · generation · 4 items" in plain.stdout
    assert plain.stdout.count("✗") + plain.stdout.count("✓") == 20
    made = json.loads(on(dense, "tasks", "choose.jsonl", "--results", "kept.jsonl", "--items", "--json").stdout)
    assert [one["task"] for one in made["items"]] == ["choose"] * 6
    assert made["made_with"]["setting"] == "magnitude:0.6"


def test_bad_lines_are_left_out_and_ways_chosen_if_asked(dense: Path) -> None:
    answer = on(dense, "tasks", "bad.jsonl", "choose.jsonl", "--skip-bad", "--most", 2, "--way", "letter")
    assert answer.exit_code == 0, answer.stderr
    assert "bad · options · by letter · 1 item\n" in answer.stdout
    assert "choose · options · by letter · 2 items" in answer.stdout
    assert "left out" in answer.stderr


def test_results_are_kept_gone_on_with_and_judged_again(dense: Path, here: Path, monkeypatch) -> None:
    """A run that is stopped at its fifth item; the second one scores only the others."""
    score, scored = scored_items.score_items, []

    def stopped(*given: Any, **more: Any) -> Iterator[Any]:
        for place, one in enumerate(score(*given, **more)):
            if place == 5:
                raise KeyboardInterrupt
            yield one

    def counted(*given: Any, **more: Any) -> Iterator[Any]:
        for one in score(*given, **more):
            scored.append(one)
            yield one

    whole = rows(on(dense, "verdict", *ALL, "--json"))
    assert {name: (row["kind"], row["items"]) for name, row in whole.items()} == {
        "choose": ("options", 6),
        "find": ("retrieval", 3),
        "answer": ("generation", 4),
    }
    assert all(row["sentence"] for row in whole.values())
    assert whole["find"]["spaces"]["items"] == 3
    monkeypatch.setattr(scored_items, "score_items", stopped)
    answer = on(dense, "verdict", *ALL, "--results", "kept.jsonl")
    assert answer.exit_code == 130
    assert "The same command goes on" in answer.stderr
    assert len(read_results("kept.jsonl").results) in (4, 5)
    part = rows(run("verdict", "--results", "kept.jsonl", "--json"))
    assert sum(row["items"] for row in part.values()) < 13
    assert any("So far" in row["sentence"] for row in part.values())
    monkeypatch.setattr(scored_items, "score_items", counted)
    assert rows(on(dense, "verdict", *ALL, "--results", "kept.jsonl", "--json")) == whole
    assert len(scored) <= 14 - len(part)
    scored.clear()
    assert rows(on(dense, "verdict", *ALL, "--results", "kept.jsonl", "--json")) == whole
    assert scored == []
    assert rows(run("verdict", "--results", "kept.jsonl", "--json")) == whole
    assert rows(run("verdict", "--results", "kept.jsonl", "--tasks", "find", "--json")) == {"find": whole["find"]}
    wide = rows(run("verdict", "--results", "kept.jsonl", "--margin", 0.9, "--level", 0.5, "--json"))
    assert wide["choose"]["dense"]["low"] > whole["choose"]["dense"]["low"]


def test_a_stopped_run_that_keeps_nothing_says_so(dense: Path, monkeypatch) -> None:
    def stopped(*_: Any, **__: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(scored_items, "score_items", stopped)
    answer = on(dense, "tasks", "choose.jsonl")
    assert (answer.exit_code, answer.stdout) == (130, "")
    assert "--results FILE" in answer.stderr


def test_results_made_otherwise_are_refused_before_a_model_is_loaded(dense: Path, here: Path, monkeypatch) -> None:
    assert on(dense, "verdict", "--tasks", "choose.jsonl", "--results", "kept.jsonl").exit_code == 0
    monkeypatch.setattr("probes.pair.load_pair", lambda *_: pytest.fail("a model was loaded"))
    other = on(dense, "verdict", "--tasks", "choose.jsonl", "--results", "kept.jsonl", prune="magnitude:0.7")
    assert other.exit_code == 2
    assert "has results of another setting: magnitude:0.6, not magnitude:0.7" in other.stderr
    (here / "choose.jsonl").write_text(json.dumps(QUESTIONS[0]) + "\n")
    changed = on(dense, "verdict", "--tasks", "choose.jsonl", "--results", "kept.jsonl")
    assert "other items, or of other wording, that are also named choose" in changed.stderr


def test_results_made_with_other_options_are_refused(dense: Path) -> None:
    assert on(dense, "tasks", "answer.jsonl", "--results", "kept.jsonl").exit_code == 0
    other = run(
        "tasks",
        "answer.jsonl",
        "--dense",
        dense,
        "--prune",
        "magnitude:0.6",
        "--results",
        "kept.jsonl",
        "--new-tokens",
        3,
    )
    assert other.exit_code == 2
    assert "another new tokens: 4, not 3" in other.stderr


def test_it_is_exported(dense: Path, here: Path) -> None:
    answer = on(dense, "verdict", "--tasks", "choose.jsonl", "--results", "k.jsonl", "--export", "out.csv")
    assert answer.exit_code == 0, answer.stderr
    assert "dense  ⇄  magnitude:0.6" in answer.stdout
    assert run("verdict", "--results", "k.jsonl", "--export", "out.html").exit_code == 0
    for form in ("csv", "html"):
        assert "choose" in (here / f"out.{form}").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("verdict", "--results", "none.jsonl"), "There is no results file none.jsonl to judge."),
        (("verdict", "--results", "choose.jsonl"), "choose.jsonl is no results file"),
        (("verdict", "--prune", "wanda:0.5", "--results", "choose.jsonl"), "choose.jsonl is no results file"),
        (("verdict", "--margin", "2"), "2 is no margin."),
        (("verdict", "--level", "95"), "95 is no level of an interval."),
        (("verdict", "--export", "out.xls"), "out.xls has no ending of a format."),
        (("verdict", "--tasks", "choose.jsonl,"), "One of the tasks has no name."),
        (("verdict", "--tasks", "choose.jsonl,choose.jsonl"), "Two tasks are named choose."),
        (("tasks", "choose.jsonl", "choose.jsonl"), "Two tasks are named choose."),
        (("tasks", "none.jsonl"), "There is no file none.jsonl"),
        (("tasks", "bad.jsonl"), "line 2"),
        (("tasks", "answer.jsonl", "--way", "letter"), "--way has no effect without options or labels."),
        (("tasks", "--harness", "x.yaml", "--skip-bad"), "--skip-bad has no effect on tasks of the harness alone."),
        (("tasks", "choose.jsonl", "--examples", "3"), "--examples has no effect without --harness."),
        (("tasks", "choose.jsonl", "--dense", "nowhere/at-all/x.gguf"), "nowhere"),
        (("tasks", "choose.jsonl", "--new-tokens", "0"), "0"),
    ],
)
def test_bad_input_is_a_sentence_before_anything_is_loaded(words, says, monkeypatch) -> None:
    monkeypatch.setattr("probes.pair.load_pair", lambda *_: pytest.fail("a model was loaded"))
    answer = run(*words)
    assert answer.exit_code == 2, answer.stdout
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_task_that_the_file_does_not_have_is_named(here: Path) -> None:
    with results_file(here / "empty.jsonl", ResultsHeader("a", "b", "", {})):
        pass
    answer = run("verdict", "--results", "empty.jsonl", "--tasks", "facts")
    assert answer.exit_code == 2
    assert "has no results of facts: it has results of no task." in answer.stderr


def test_tasks_of_the_harness_are_judged_beside_ones_own(dense: Path, here: Path, monkeypatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", here / "data")
    task = {
        "task": "theirs",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": str(here / "choose.jsonl")},
        "test_split": "train",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
    }
    (here / "theirs.yaml").write_text(json.dumps(task))
    words = ("--harness", "theirs.yaml", "--tasks", "choose.jsonl", "--results", "kept.jsonl", "--json")
    found = rows(on(dense, "verdict", *words))
    assert {name: row["items"] for name, row in found.items()} == {"choose": 6, "theirs": 6}
    assert rows(on(dense, "verdict", *words)) == found
    alone = rows(on(dense, "verdict", "--harness", "theirs.yaml", "--most", 2, "--json"))
    assert {name: row["items"] for name, row in alone.items()} == {"theirs": 2}
