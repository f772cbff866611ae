"""What the commands about settings and folders take from the config file, and what leaves it unread."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from explorer.cli import prompt, prune, recommend, sweep
from explorer.cli.bench import bench_command
from explorer.cli.options import ShellCommand
from probes.schema.spec import CalibrationSpec, LoadOptions
from probes.schema.sweep import SweepPlan

CONFIG = """
[models]
dense = "my-model"
prune = "wanda:0.3"
[run]
follow = "free"
steps = 7
[sampling]
temperature = 0.5
seed = 9
[calibration]
samples = 8
[loading]
dtype = "bfloat16"
threads = 1
"""


class Reached(BaseException):
    """Carries what a command would have begun with past all that reports errors."""


@pytest.fixture(autouse=True)
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for command in (sweep, recommend):  # workers import torch
        monkeypatch.setattr(command, "workers_asked", lambda *_: SimpleNamespace(close=lambda: None))
    (tmp_path / "config.toml").write_text(CONFIG)


def began(command: click.Command, *words: str) -> Any:
    """What the command would have begun with."""
    with pytest.raises(Reached) as found:
        command.main([*words, "--debug"], standalone_mode=False)
    return found.value.args[0]


def plan_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> SweepPlan:
    def run(plan: SweepPlan, *_: object) -> None:
        raise Reached(plan)

    instead = SimpleNamespace(run_in_shell=run, check_sweep=run, print_complete=lambda *_: False)  # without torch
    monkeypatch.setitem(sys.modules, "explorer.cli.sweep_run", instead)
    found: SweepPlan = began(sweep.sweep_command, *words)
    return found


def test_a_sweep_takes_the_dense_model_calibration_loading_and_of_prompts_the_sampling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = plan_of(monkeypatch, "wanda:0.5", "--prompt", "Hi")
    assert plan.dense == "my-model"
    assert plan.calibration == CalibrationSpec(samples=8)
    assert plan.load == LoadOptions(dtype="bfloat16", threads=1)
    (asked,) = plan.prompts
    assert (asked.sampling.temperature, asked.sampling.seed) == (0.5, 0), "its seeds are its own"
    assert (asked.follow.value, asked.steps) == ("dense", 64), "of a run"
    assert [str(one.setting) for one in plan.settings] == ["wanda:0.5"]


def test_what_is_typed_wins_and_the_file_may_be_left_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(monkeypatch, "wanda:0.5", "--tasks", "facts", "--dense", "demo", "--samples", "4")
    assert (plan.dense, plan.calibration.samples, plan.load.dtype) == ("demo", 4, "bfloat16")
    plain = plan_of(monkeypatch, "wanda:0.5", "--tasks", "facts", "--no-config")
    assert plain == SweepPlan(plan.settings, tasks=("facts",))


def test_a_plan_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("night.toml").write_text('settings = ["wanda:0.5"]\ntasks = ["facts"]\n')
    assert plan_of(monkeypatch, "night.toml").load == LoadOptions()


def test_a_recommendation_takes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(_typed: object, plan: SweepPlan, *_: object) -> None:
        raise Reached(plan)

    monkeypatch.setattr(recommend, "_searched", search)
    plan = began(recommend.recommend_command)
    assert (plan.dense, plan.calibration.samples, plan.load.dtype) == ("my-model", 8, "bfloat16")
    assert began(recommend.recommend_command, "--no-config").dense == "demo"


def test_inspecting_takes_how_models_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_folder: str, _against: str, options: LoadOptions, _work: object) -> None:
        raise Reached(options)

    monkeypatch.setattr("probes.checkpoints.inspect.inspect", look)
    monkeypatch.setattr("probes.models.spec_check.check_spec", lambda _spec: None)
    assert began(prune.inspect_command, "folder").dtype == "bfloat16"
    assert began(prune.inspect_command, "folder", "--no-config") == LoadOptions()


def test_a_prompt_is_rendered_for_the_dense_model_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(spec: str, *_: object) -> None:
        raise Reached(spec)

    monkeypatch.setattr("probes.models.rendering.load_tokenizer", load)
    assert began(prompt.prompt_command, "--prompt", "Hi") == "my-model"


def test_benchmarks_leave_it_unread() -> None:
    assert isinstance(bench_command, ShellCommand)
    assert not bench_command.configured
