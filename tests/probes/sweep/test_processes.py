"""Cells that are computed in other processes equal those of this one, whichever of them die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from probes.schema.errors import BadInput, Failure
from probes.schema.spec import LoadOptions, PairSpec
from probes.schema.sweep import CellResult, PromptTask, SweepPlan
from probes.sweep.executors.here import Here
from probes.sweep.executors.processes import Processes
from probes.sweep.jobs import Workers
from probes.sweep.settings import swept_settings
from probes.sweep.sweep import run_sweep
from probes.sweep.versions import check_versions, own_versions
from tests.support.forked import Program, with_torch
from tests.support.scored_pairs import TOKENIZER
from tests.support.tiny import save, tiny


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SweepPlan:
    model = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=1024)
    folder = save(tmp_path_factory.mktemp("models") / "dense", model, TOKENIZER)
    return SweepPlan(
        settings=tuple(swept_settings("magnitude:{0.3,0.5,0.7}")),
        dense=str(folder),
        tasks=("labels",),
        prompts=(PromptTask("prompt 1", "the cat", raw=True, steps=2),),
        most=1,
        load=LoadOptions(threads=1),
    )


_said: list[str] = []
"""What the processes said."""


PYTHON = sys.executable


def forked(command: list[str], **options: Any) -> Program | subprocess.Popen[bytes]:
    """Starts in a fork what is to be started as a Python of its own."""
    python, *switches, program = command[: command.index("-c") + 2]
    if python != PYTHON:
        return subprocess.Popen(command, **options)
    assert switches == ["-P", "-c"]
    return with_torch().start(program, *command[command.index(program) + 1 :], **options)


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "probes.sweep.executors.processes.subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": forked})
        )
        made = Processes(2, _said.append)
        yield made
        made.close()
    assert not made.names


def swept(plan: SweepPlan, path: Path, workers: Workers) -> dict[str, CellResult]:
    """The results by key, without what differs from run to run."""
    return {str(one.cell.key): bare(one) for one in run_sweep(plan, path, workers)}


def bare(result: CellResult) -> CellResult:
    assert result.error is None
    assert result.worker
    assert result.peak_bytes > 0
    return replace(result, seconds=0, pruning_seconds=0, worker="", peak_bytes=0)


@pytest.mark.slow
def test_processes_give_the_results_of_this_one_to_the_bit_and_one_that_dies_has_its_cell_done_elsewhere(
    plan: SweepPlan, processes: Processes, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    try:
        alone = swept(plan, tmp_path / "alone.jsonl", Here())
    finally:
        torch.set_num_threads(threads)
    assert len(alone) == 6
    assert swept(plan, tmp_path / "two.jsonl", processes) == alone

    while len(processes.names) < 2:
        processes.wait()
    sweeping = run_sweep(plan, tmp_path / "killed.jsonl", processes)
    results = [next(sweeping), next(sweeping)]
    dying = next(one for one in processes._alive if one.job is not None)
    os.kill(dying.running.pid, signal.SIGKILL)
    results += sweeping
    assert {str(one.cell.key): bare(one) for one in results} == alone
    assert len(results) == len(alone)
    why = "it was ended by signal 9, which happens if memory runs out"
    assert _said == [f"{dying.name} has died: {why}. Another process takes its place."]
    while len(processes.names) < 2:
        processes.wait()
    assert dying.name not in processes.names
    assert "process 3" in processes.names


def test_a_model_that_cant_be_loaded_is_said_and_another_one_can_be(plan: SweepPlan, processes: Processes) -> None:
    setting = plan.settings[0].setting
    with pytest.raises(BadInput, match="nowhere"):
        processes.dense(PairSpec("/nowhere", prune=setting))
    facts = processes.dense(PairSpec(plan.dense, prune=setting, load=plan.load))
    assert facts.parameters > 0
    assert processes.names


def test_a_process_that_cant_compute_is_a_failure(monkeypatch: pytest.MonkeyPatch, plan: SweepPlan) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    processes = Processes(1)
    try:
        with pytest.raises(Failure, match=r"The processes have died: process 1: it ended with code 1 and no output\."):
            processes.dense(PairSpec(plan.dense, prune=plan.settings[0].setting))
    finally:
        processes.close()


def test_processes_end_when_the_one_that_started_them_is_killed(plan: SweepPlan) -> None:
    program = """
import sys
from probes.schema.spec import PairSpec
from probes.sweep.executors.processes import Processes
made = Processes(1)
assert made.dense(PairSpec(sys.argv[1], prune="magnitude:0.5")).parameters > 0
print(made._alive[0].running.pid, flush=True)
made.wait()
"""
    with with_torch().start(program, plan.dense, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    child.wait(timeout=60)


def test_other_versions_are_refused() -> None:
    ours = own_versions()
    assert set(ours) >= {"python", "phier", "torch", "transformers"}
    check_versions(ours, "process 2")
    for name in ours:
        with pytest.raises(BadInput, match=f"The worker process 2 has {name} 0.1, and this process has "):
            check_versions({**ours, name: "0.1"}, "process 2")
    with pytest.raises(BadInput, match=r"has more 1, and this process has none\."):
        check_versions({**ours, "more": "1"}, "process 2")
