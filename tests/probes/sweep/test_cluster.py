"""A sweep on a dask cluster of real processes: the figures of one process, also if a worker is killed in the middle."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dask import config as dask_config
from distributed import Status
from distributed.protocol import pickle

from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.spec import LoadOptions, PairSpec
from probes.schema.sweep import CellError, CellResult, PromptTask, SweepPlan
from probes.sweep.cells import planned_cells
from probes.sweep.executors import cluster, scheduler
from probes.sweep.executors.cluster import ClusterWorkers
from probes.sweep.executors.here import Here
from probes.sweep.executors.scheduler import connect, exposure, scheduler_address
from probes.sweep.jobs import DenseFacts, Job, JobDone, WorkerJoined, WorkerLost
from probes.sweep.plan_check import check_plan
from probes.sweep.settings import swept_settings
from probes.sweep.statement import Statement, check_statement
from probes.sweep.sweep import prepare_sweep, run_sweep
from probes.sweep.sweep_file import cell_file, read_sweep
from probes.sweep.versions import own_versions
from probes.system.progress import UNWATCHED, Work
from probes.tasks.results_file import read_results
from tests.support.dask_cluster import DaskCluster, dask_cluster
from tests.support.scored_pairs import QUESTIONS, TOKENIZER
from tests.support.tiny import save, tiny

TABLE = "0 0.5\n1 0.25\n2 0.5\n"
FACTS = DenseFacts("tiny", "a" * 64, "b" * 64, "float32", "cpu", 1000, 4000, 256, 0.001)


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), 2) as running:
        yield running


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SweepPlan:
    """Questions and a prompt under three settings; one of them reads a file."""
    folder = tmp_path_factory.mktemp("plan")
    model = save(folder / "model", tiny("llama", vocab_size=len(TOKENIZER)), TOKENIZER)
    rows = [{"question": one.question, "choices": one.options, "answer": one.answer} for one in QUESTIONS]
    (folder / "pets.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "table.txt").write_text(TABLE)
    settings = f"magnitude:0.5 | magnitude:table={folder}/table.txt | drop-attn@layers=1"
    return SweepPlan(
        tuple(one for text in settings.split(" | ") for one in swept_settings(text)),
        dense=str(model),
        tasks=(str(folder / "pets.jsonl"),),
        prompts=(PromptTask("prompt 1", "the cat", steps=3),),
        load=LoadOptions(device="cpu", threads=1),
    )


class Watched(ClusterWorkers):
    """Remembers who computes the setting that reads a file, and who was lost."""

    reader = ""
    lost: tuple[str, ...] = ()

    def give(self, worker: str, job: Job) -> None:
        if "table=" in job.cell.setting:
            self.reader = worker
        super().give(worker, job)

    def wait(self, work: Work = UNWATCHED) -> tuple[str, JobDone] | WorkerLost | WorkerJoined:
        found = super().wait(work)
        if isinstance(found, WorkerLost):
            self.lost = (*self.lost, found.worker)
        return found


def blocking(path: Path) -> None:
    """Replaces the file by one whose reader waits for a writer."""
    path.unlink()
    os.mkfifo(path)


def restore(path: Path) -> int:
    """Waits until somebody reads the file, and puts the real one in its place. Returns the handle that he waits for."""
    handle = os.open(path, os.O_WRONLY)
    path.with_suffix(".new").write_text(TABLE)
    path.with_suffix(".new").replace(path)
    return handle


def figures(result: CellResult) -> CellResult:
    """Without what no two runs have in common."""
    return replace(result, seconds=0.0, pruning_seconds=0.0, worker="", peak_bytes=0)


def result_of(workers: ClusterWorkers) -> CellResult:
    match workers.wait():
        case (_, JobDone() as done):
            return done.result
        case other:
            raise AssertionError(other)


@pytest.mark.slow
def test_a_sweep_of_which_a_worker_is_killed_equals_one_in_this_process(
    dask: DaskCluster, plan: SweepPlan, tmp_path: Path
) -> None:
    table = Path(plan.tasks[0]).with_name("table.txt")
    alone = list(run_sweep(plan, tmp_path / "alone.jsonl", Here()))
    workers = Watched(connect(dask.address))
    assert len(workers.names) == 2
    prepared = prepare_sweep(plan, workers)
    blocking(table)

    def kill_the_reader() -> None:
        handle = restore(table)
        dask.kill(workers.reader)
        os.close(handle)

    killing = threading.Thread(target=kill_the_reader)
    killing.start()
    try:
        found = list(run_sweep(prepared, tmp_path / "cluster.jsonl", workers))
    finally:
        killing.join()
        workers.close()
    assert len(workers.lost) == 1
    assert {one.worker for one in found} <= {*dask.workers, *workers.lost}
    assert {str(one.cell.key) for one in found} == {str(one.cell.key) for one in alone}
    assert not any(one.error for one in alone)
    by_key = {str(one.cell.key): figures(one) for one in alone}
    for one in read_sweep(tmp_path / "cluster.jsonl").results:
        assert figures(one) == by_key[str(one.cell.key)]
        if one.row is not None:
            here, there = (
                read_results(cell_file(tmp_path / name, one.cell.key)) for name in ("alone.jsonl", "cluster.jsonl")
            )
            assert there.results == here.results
            assert there.header.depends_on == here.header.depends_on


def test_a_sweep_that_is_stopped_leaves_its_workers_alive(dask: DaskCluster, plan: SweepPlan) -> None:
    table = Path(plan.tasks[0]).with_name("table.txt")
    workers = ClusterWorkers(connect(dask.address))
    spec = PairSpec(plan.dense, prune=plan.settings[1].setting, load=plan.load)
    (task, _), (name, *_) = check_plan(plan), workers.names
    (one, *_) = planned_cells(replace(plan, settings=plan.settings[1:2]), [task], workers.dense(spec))[0]
    job = Job(one.cell, one.spec, one.items)
    blocking(table)
    workers.give(name, job)
    handle = restore(table)
    with pytest.raises(Cancelled):
        workers.wait(Work(cancelled=lambda: True))
    workers.close()
    os.close(handle)
    again = ClusterWorkers(connect(dask.address))
    assert name in again.names
    again.dense(spec)
    again.give(name, job)
    assert result_of(again).error is None
    table.write_text("0 0.5\n")
    again.give(name, job)
    refused = result_of(again)
    again.close()
    assert refused.error is not None
    assert refused.error.title == "Other setting", "the key was made from another file"


def test_a_worker_is_no_scheduler(dask: DaskCluster) -> None:
    with pytest.raises(BadInput, match="is no scheduler, but a Worker"):
        connect(next(iter(dask.workers)))


@pytest.mark.parametrize(
    "text", ["", "nowhere", "8786", "http://localhost:8786", "tcp://host", "tcp://host:99999", "tcp://:1"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no address of a scheduler"):
        scheduler_address(text)


def test_an_address_needs_no_scheme() -> None:
    assert scheduler_address(" localhost:8786 ") == "tcp://localhost:8786"
    assert scheduler_address("tls://[::1]:8786/") == "tls://[::1]:8786"


@pytest.mark.parametrize(
    ("address", "open_to_all"),
    [
        ("tcp://127.0.0.1:1", False),
        ("tcp://localhost:1", False),
        ("tcp://[::1]:1", False),
        ("tls://10.0.0.1:1", False),
        ("tcp://10.0.0.1:1", True),
        ("tcp://node7:1", True),
    ],
)
def test_an_address_that_others_can_reach_without_tls_is_warned_of(address: str, open_to_all: bool) -> None:
    assert ("can run programs" in exposure(address)) == open_to_all


def test_who_does_not_answer_as_a_scheduler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Failure, match="does not answer as a scheduler of dask: nothing answers there"):
            connect(f"127.0.0.1:{port}")
    with pytest.raises(Failure, match="nothing answers there"):
        connect(f"127.0.0.1:{port}")


def test_tls_without_certificates_is_refused() -> None:
    with dask_config.set({"distributed.comm.tls.ca-file": None}), pytest.raises(BadInput, match="needs certificates"):
        connect("tls://127.0.0.1:1")
    with (
        dask_config.set({"distributed.comm.tls.ca-file": "/none", "distributed.comm.tls.client.cert": "/none"}),
        pytest.raises(Failure, match="No such file"),
    ):
        connect("tls://127.0.0.1:1")


@pytest.mark.parametrize("name", ["phier", "torch", "transformers", "python", "distributed"])
def test_a_worker_of_other_versions_is_refused(name: str) -> None:
    same = Statement(own_versions(), FACTS)
    check_statement(same, "tcp://b", FACTS, "tcp://a")
    other = replace(same, versions={**same.versions, name: "0.0"})
    with pytest.raises(BadInput, match=rf"worker tcp://b has {name} 0\.0, and this process has"):
        check_statement(other, "tcp://b", FACTS, "tcp://a")
    less = replace(same, versions={key: value for key, value in same.versions.items() if key != name})
    with pytest.raises(BadInput, match=f"has {name} none"):
        check_statement(less, "tcp://b", FACTS, "tcp://a")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("fingerprint", "c" * 64, "weights"),
        ("configuration", "c" * 64, "configuration"),
        ("dtype", "bfloat16", "dtype"),
        ("device", "cuda", "device"),
        ("parameters", 1001, "number of parameters"),
    ],
)
def test_a_worker_with_another_dense_model_is_refused(field: str, value: Any, said: str) -> None:
    other = Statement(own_versions(), replace(FACTS, **{field: value}))
    with pytest.raises(BadInput, match=f"has another {said} than that of tcp://a"):
        check_statement(other, "tcp://b", FACTS, "tcp://a")
    check_statement(Statement(own_versions(), replace(FACTS, second_per_token=9.0)), "tcp://b", FACTS, "tcp://a")


def test_a_worker_that_cannot_load_the_model_says_why() -> None:
    failed = Statement(own_versions(), error=CellError("No such model", "There is no folder x.", "Name one."))
    with pytest.raises(Failure, match=r"worker tcp://b can't load the dense model. There is no folder x."):
        check_statement(failed, "tcp://b", FACTS, "tcp://a")
    with pytest.raises(BadInput, match="There is no folder"):
        check_statement(replace(failed, bad_input=True), "tcp://b", FACTS, "tcp://a")


def test_a_worker_states_its_versions_without_importing_torch() -> None:
    program = """
import sys
from probes.sweep.executors.remote_worker import state
assert b"transformers" in state(b"", lambda: False)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("task", [cluster._state, cluster._compute])
def test_what_a_worker_runs_is_sent_by_name(task: object) -> None:
    sent = pickle.dumps(task)
    assert len(sent) < 100
    assert pickle.loads(sent) is task
    assert b"cloudpickle" not in sent


def test_a_cell_is_given_up_as_soon_as_its_sweep_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    task = SimpleNamespace(state="executing")
    worker = SimpleNamespace(
        get_current_task=lambda: "cell", state=SimpleNamespace(tasks={"cell": task}), status=Status.running
    )
    monkeypatch.setattr("distributed.get_worker", lambda: worker)
    given_up = cluster._given_up()
    assert not given_up()
    task.state = "cancelled"
    assert given_up()
    task.state = "executing"
    worker.status = Status.closing
    assert given_up()
    worker.status = Status.running
    del worker.state.tasks["cell"]
    assert given_up()
