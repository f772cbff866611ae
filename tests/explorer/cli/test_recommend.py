"""`phier recommend` on a tiny model that answers its own questions right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from explorer.cli.main import phier
from probes.sweep.plan_file import plan_from_toml
from probes.sweep.sweep_file import read_sweep
from tests.support.tiny import byte_tokenizer, save, tiny


def run(*words: object) -> Result:
    return CliRunner().invoke(phier, [str(word) for word in words])


def choices(number: int) -> list[str]:
    return [chr(97 + number * place % 26) + str(place) for place in (3, 5)]


def questions(numbers: range, answers: dict[str, int]) -> str:
    rows = [
        {"id": f"q{n}", "question": f"{n}?", "choices": choices(n), "answer": answers.get(f"q{n}", 0)} for n in numbers
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A dense model, and questions whose right answers are those that it gives."""
    here, tokenizer = tmp_path_factory.mktemp("recommended"), byte_tokenizer()
    save(here / "dense", tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHIER_CACHE", str(here / "cache"))
        patch.setenv("PHIER_CONFIG", str(here / "config"))
        patch.setenv("COLUMNS", "120")
        patch.chdir(here)
        Path("asked.jsonl").write_text(questions(range(1, 41), {}))
        asked = run("tasks", "asked.jsonl", *MODEL, "--prune", "magnitude:0.3", "--items", "--json")
        chosen = {
            one["item"]: choices(int(one["item"][1:])).index(one["dense"]["choice"])
            for one in json.loads(asked.stdout)["items"]
        }
        Path("own.jsonl").write_text(questions(range(1, 31), chosen))
        Path("other.jsonl").write_text(questions(range(31, 41), chosen))
        yield here


MODEL = ("--dense", "dense", "--threads", 1)
SEARCH = (*MODEL, "--task", "own.jsonl", "--methods", "magnitude", "--step", 0.2, "--allocate", 0)


def recommended(*words: object) -> dict[str, Any]:
    answer = run("recommend", *SEARCH, *words, "--json")
    assert answer.exit_code == 0, answer.output
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    return recommended("--margin", 0.2, "--confirm", "other.jsonl")


def test_the_recommended_setting_is_safe_by_a_verdict_of_its_own(found: dict[str, Any]) -> None:
    assert found["setting"] == found["best"]["candidate"]["setting"]
    verdict = run("verdict", *MODEL, "--prune", found["setting"], "--tasks", "own.jsonl", "--margin", 0.2, "--json")
    (row,) = json.loads(verdict.stdout)["rows"]
    del row["sentence"]
    assert found["best"]["rows"] == [row]
    assert row["outcome"] == "safe"


def test_the_next_amount_was_tried_and_is_not_safe(found: dict[str, Any]) -> None:
    held = {one["candidate"]["amount"]: one["held"] for one in found["trials"]}
    best = found["best"]["candidate"]["amount"]
    assert held[best] == "safe"
    assert held[round(best + 0.2, 10)] != "safe"


def test_it_is_confirmed_on_items_that_the_search_has_not_seen(found: dict[str, Any]) -> None:
    assert [(row["task"], row["items"]) for row in found["confirmed"]] == [("other", 10)]
    assert any("which the search has not seen" in sentence for sentence in found["sentences"])


def test_the_same_search_again_computes_nothing(found: dict[str, Any]) -> None:
    before = read_sweep("recommend.jsonl").results
    assert recommended("--margin", 0.2, "--confirm", "other.jsonl") == found
    assert read_sweep("recommend.jsonl").results == before


def test_its_cells_are_those_of_a_sweep_and_the_header_keeps_all_of_them(found: dict[str, Any]) -> None:
    settings = [one["candidate"]["setting"] for one in found["trials"]]
    swept = run("sweep", "--settings", settings[0], "--tasks", "own.jsonl", *MODEL, "--margin", 0.2,
                "--out", "recommend.jsonl", "--check", "--json")  # fmt: skip
    assert [one["known"] for one in json.loads(swept.stdout)["cells"]] == [True]
    named = {cell.setting for cell in read_sweep("recommend.jsonl").header.cells}
    assert named >= set(settings)


def test_a_table_by_sensitivity_is_written_and_tried(found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.cli.recommend.COST_STEPS", 4)
    made = recommended("--margin", 0.2, "--allocate", 1, "--prompt", "one two")
    by_table = [one for one in made["trials"] if one["candidate"]["allocation"] == "sensitivity"]
    (setting,) = {one["candidate"]["setting"] for one in by_table[:1]}
    path = Path(setting.removeprefix("magnitude:table="))
    assert path.parent == Path("recommend.tables")
    layers = [line.split()[0] for line in path.read_text().splitlines() if not line.startswith("#")]
    assert layers == ["0", "1", "2"]
    assert abs(by_table[0]["removed"] - by_table[0]["candidate"]["amount"] * SHARE) < 0.02
    plan = plan_from_toml(read_sweep("recommend.jsonl").header.plan, "the plan")
    assert {str(one.setting) for one in plan.settings} == {one["candidate"]["setting"] for one in made["trials"]}


SHARE = 0.76
"""The share of the tiny model's parameters that are in its matrices: as magnitude:0.2 removes 15.2 %."""


def test_too_few_items_are_said_and_the_most_that_is_not_broken_is_shown(folder: Path) -> None:
    answer = run("recommend", *SEARCH, "--most", 12, "--out", "few.jsonl")
    assert answer.exit_code == 0, answer.output
    assert "own has 12 items: too few to show that any setting is safe" in answer.stderr
    assert "at least " in answer.stderr.splitlines()[0]
    assert "Nothing can be shown to be safe" in answer.stdout
    assert "items a task would show an exact copy to be safe" in answer.stdout
    assert "The most that is not shown to be broken: magnitude:" in answer.stdout
    assert "The setting:" not in answer.stdout


def test_a_table_for_people_names_every_trial_and_ends_with_the_setting(found: dict[str, Any]) -> None:
    answer = run("recommend", *SEARCH, "--margin", 0.2)
    assert answer.stdout.splitlines()[-1] == found["setting"]
    for trial in found["trials"]:
        assert trial["candidate"]["setting"] in answer.stdout
    assert "Not tried" in answer.stdout
    assert "2:4" in answer.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "wandb"), "is not a method"),
        (("--step", 0), "is no distance"),
        (("--task", "none.jsonl"), "none.jsonl"),
        (("--confirm", "own.jsonl"), "is searched on already"),
        (("--margin", 2), "is no margin"),
    ],
)
def test_bad_input_is_a_sentence(folder: Path, words: tuple[object, ...], said: str) -> None:
    answer = run("recommend", *SEARCH, "--out", "bad.jsonl", *words)
    assert answer.exit_code == 2
    assert said in answer.stderr
