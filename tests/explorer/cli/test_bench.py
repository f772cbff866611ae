"""`phier bench`: which options a benchmark takes, and the JSON that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from explorer.bench import interface, keys, stepping
from explorer.bench.interface import UiCost
from explorer.bench.keys import KeyTimes
from explorer.cli.bench import _OWN, BENCHMARKS
from explorer.cli.main import phier
from probes.bench import step_memory
from probes.bench.step_memory import Growth
from tests.support.tiny import byte_tokenizer, save, tiny

SMALL = stepping.Effort(2, 1, 1.0, 4, ((80, 24),), 10, 2, 3)
HEAD = {"format", "benchmark", "date", "seconds", "versions", "machine"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(save(folder, tiny("llama", vocab_size=len(byte_tokenizer())), byte_tokenizer()))


def answered(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(phier, ["bench", *arguments])


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_says_which_of_the_options_it_takes(benchmark: str) -> None:
    assert BENCHMARKS[benchmark].takes <= set(_OWN)
    values: dict[str, list[str]] = {
        "thorough": [],
        "plants": ["2"],
        "steps": ["2"],
        "threads": ["1"],
        "device": ["cpu"],
    }
    for name in set(_OWN) - BENCHMARKS[benchmark].takes:
        answer = answered(benchmark, f"--{name}", *values.get(name, ["magnitude:0.5"]))
        assert answer.exit_code == 2
        assert f"--{name} has no effect on `bench {benchmark}`" in " ".join(answer.stderr.split())


@pytest.mark.parametrize(("place", "words"), [("no/such/x.json", "there is no folder"), (".", "is a folder")])
def test_a_file_that_can_t_be_written_is_reported_before_the_work(
    place: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = answered("--json", place)
    assert answer.exit_code == 2
    assert words in " ".join(answer.stderr.split())


def test_steps_are_printed_and_written(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping, "QUICK", SMALL)
    monkeypatch.setattr("probes.bench.bandwidth.SIZE", 2**20)
    monkeypatch.setattr(step_memory, "growth_alone", lambda steps: Growth(9, steps, 2.0, 1.0))
    monkeypatch.setattr(
        interface, "interface_costs", lambda steps, sizes: [UiCost(steps, sizes[0][0], sizes[0][1], 1.0, 0.1)]
    )
    monkeypatch.setattr(keys, "key_times", lambda spec, keys: [KeyTimes("at rest", 9, (0.01,) * keys)])
    file = tmp_path / "bench.json"
    answer = answered("--dense", model, "--prune", "magnitude:0.5", "--threads", "2", "--json", str(file))
    assert answer.exit_code == 0, answer.stderr
    assert "One step of both models" in answer.stdout
    found = json.loads(file.read_text("utf-8"))
    assert found.keys() == HEAD | {
        *("dense", "pruned", "parameters", "steps", "floors", "growth", "interface", "profile", "keys", "no_keys"),
    }
    names = {
        *("follow", "overlap", "threads", "steps", "bare", "measured", "memory", "modules"),
        *("bare_median", "measured_median"),
    }
    assert all(one.keys() == {*names, "ratio"} for one in found["steps"])
    assert [(one["follow"], one["threads"]) for one in found["steps"] if one["overlap"] == "none"] == [
        ("dense", 2),
        ("free", 2),
        ("dense", 1),
    ]
    assert [floor["bandwidth"]["threads"] for floor in found["floors"]] == [2, 1]
    assert all(floor["seconds"] > 0 for floor in found["floors"])
    assert found["growth"]["steps"] == 4
    assert sum(one["share"] for one in found["profile"]["parts"]) == pytest.approx(1)


def test_json_on_standard_output_replaces_the_tables(model: str) -> None:
    answer = answered("profile", "--dense", model, "--prune", "magnitude:0.5", "--json", "-")
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found.keys() == HEAD | {"dense", "pruned", "profile"}
    assert found["benchmark"] == "profile"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_its_benchmark_says_so() -> None:
    answer = answered("gpu")
    assert answer.exit_code == 2
    assert "no cuda GPU on this machine, so nothing was measured" in " ".join(answer.stderr.split())
    assert answer.stdout == ""
