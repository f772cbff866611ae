"""Two processes that share a model's layers give the figures of one process, and say what they can't do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.forked import with_torch
from tests.support.prune_models import TOKENIZER
from tests.support.sharded_process import LAUNCHED, outcome
from tests.support.tiny import save, tiny

ARCHITECTURES = ("llama", "qwen3", "phi3")
pytestmark = pytest.mark.slow
FEW = ["--samples", "6", "--length", "20"]
SETTINGS = {
    "llama": ["wanda:0.5", *FEW],
    "qwen3": ["sparsegpt:2:4+drop-mlp@layers=1", *FEW],
    "phi3": ["magnitude:0.5+drop-attn@layers=0"],
}
REFUSED = ("explain", "twice")
"""The last commands."""
TEXT = "The cat sat on the mat. The king of the hill was singing, and the rest were there as well."
ITEMS = [{"question": "Where is it?", "options": ["here", "there"], "answer": 0} for _ in range(2)]


class Both:
    """What each command gave in one process, and in each of two."""

    def __init__(self, names: list[str], one: list[dict[str, Any]], two: list[list[dict[str, Any]]], out: Path) -> None:
        self._names, self._one, self._two = names, one, two
        self.folder = out
        """What the commands wrote in two processes."""

    def of(self, name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        place = self._names.index(name)
        one = self._one[place] if place < len(self._one) else {}  # refused only in two
        return one, self._two[0][place], self._two[1][place]


def commands(folder: Path, out: Path) -> dict[str, list[str]]:
    asked: dict[str, list[str]] = {}
    for name in ARCHITECTURES:
        steps = ["--steps", "3", "--prompt", "hello", "--raw", "--json"]
        asked[name] = ["run", "--dense", str(folder / name), "--prune", *SETTINGS[name], *steps]
    qwen = ["--dense", str(folder / "qwen3"), "--prune", "magnitude:0.3"]
    asked["record"] = ["run", *qwen, "--steps", "2", "--raw", "--json", "--record", str(out / "run.jsonl")]
    asked["score"] = ["score", str(folder / "text.txt"), *qwen, "--window", "16", "--json"]
    asked["verdict"] = [
        "verdict", *qwen, "--tasks", str(folder / "items.jsonl"), "--results", str(out / "kept.jsonl"), "--json"
    ]  # fmt: skip
    asked["tasks"] = ["tasks", str(folder / "items.jsonl"), *qwen, "--json"]
    asked["pruned"] = [
        "verdict", "--dense", str(folder / "qwen3"), "--pruned", str(folder / "other"), "--tasks",
        str(folder / "items.jsonl"), "--json",
    ]  # fmt: skip
    asked["explain"] = ["explain", *qwen, "--at", "1"]
    asked["twice"] = ["score", str(folder / "text.txt"), *qwen, "--prune", "magnitude:0.2"]
    return asked


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("sharded")
    for name in ARCHITECTURES:
        save(folder / name, tiny(name, vocab_size=len(TOKENIZER)), TOKENIZER)
    save(folder / "other", tiny("qwen3", seed=1, vocab_size=len(TOKENIZER)), TOKENIZER)
    (folder / "text.txt").write_text(TEXT)
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, ITEMS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHIER_CACHE", str(folder / "cache-one"))
        (folder / "one").mkdir()
        alone = {name: given for name, given in commands(folder, folder / "one").items() if name not in REFUSED}
        one = [outcome(arguments) for arguments in alone.values()]
    (folder / "two").mkdir()
    asked = commands(folder, folder / "two")
    (folder / "asked.json").write_text(json.dumps(list(asked.values())))
    given = {**os.environ, "OMP_NUM_THREADS": "1", "PHIER_CACHE": str(folder / "cache")}
    done = with_torch().run(LAUNCHED, folder / "asked.json", folder / "found", env=given)
    assert done.returncode == 0, done.stderr[-3000:].decode()
    two = [json.loads((folder / f"found.{number}.json").read_text()) for number in range(2)]
    return Both(list(asked), one, two, folder / "two")


def lines(printed: str) -> list[Any]:
    return [json.loads(line) for line in printed.splitlines()]


def differing(one: Any, other: Any, path: str = "") -> list[str]:
    """The places at which two values differ by more than rounding."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in differing(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            found for n, pair in enumerate(zip(one, other, strict=True)) for found in differing(*pair, f"{path}[{n}]")
        ]
    if isinstance(one, float) and isinstance(other, int | float):
        return [] if one == pytest.approx(other, rel=1e-3, abs=2e-5) else [f"{path}: {one} {other}"]
    return [] if one == other else [f"{path}: {one} {other}"]


@pytest.mark.parametrize("name", [*ARCHITECTURES, "record"])
def test_a_run_in_two_processes_has_the_figures_of_one(both: Both, name: str) -> None:
    one, two, second = both.of(name)
    assert (one["code"], two["code"], second["code"]) == (0, 0, 0), one["err"] + two["err"]
    assert second["out"] == second["err"] == ""
    assert len(lines(one["out"])) > 2
    assert differing(lines(one["out"])[:-1], lines(two["out"])[:-1]) == []


def test_scores_and_verdicts_in_two_processes_have_the_figures_of_one(both: Both) -> None:
    for name in ("score", "verdict", "tasks", "pruned"):
        one, two, second = both.of(name)
        assert (one["code"], two["code"], second["code"]) == (0, 0, 0), one["err"] + two["err"]
        assert second["out"] == second["err"] == ""
        found = differing(json.loads(one["out"]), json.loads(two["out"]))
        assert [place for place in found if "device" not in place and "started" not in place] == []


def test_only_the_first_process_writes(both: Both) -> None:
    assert sorted(file.name for file in both.folder.iterdir()) == ["kept.jsonl", "run.jsonl"]
    results = [json.loads(line) for line in (both.folder / "kept.jsonl").read_text().splitlines()]
    alone = [json.loads(line) for line in (both.folder.parent / "one" / "kept.jsonl").read_text().splitlines()]
    assert len(results) == len(alone)


def test_what_needs_whole_weights_or_several_twins_is_refused(both: Both) -> None:
    for name, sentence in {"explain": "phier explain can't be done", "twice": "Scoring several settings"}.items():
        _, two, second = both.of(name)
        assert two["code"] == 2
        assert sentence in two["err"]
        assert second["code"] != 0
        assert second["out"] == second["err"] == ""
