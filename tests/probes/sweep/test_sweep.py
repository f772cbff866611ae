"""Sweeps of tiny models: cells equal single runs, what fails is tried again, what is known is not computed again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from probes.pair import Pair, load_pair, pair_with_twin
from probes.prune import block_walk, importance
from probes.schema.errors import BadInput, Failure
from probes.schema.settings import Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.summary import summarise
from probes.schema.sweep import CellResult, PromptTask, SweepPlan, SweepProgress
from probes.schema.task_options import TaskOptions
from probes.schema.task_results import ItemResult
from probes.schema.verdict import TaskResults
from probes.stepping.overlap import ONE_AFTER_THE_OTHER
from probes.sweep import worker
from probes.sweep.estimate import estimated
from probes.sweep.executors.here import Here
from probes.sweep.jobs import ItemsFound, Job, JobDone, WorkerLost
from probes.sweep.prompt_run import prompt_settings
from probes.sweep.settings import swept_settings
from probes.sweep.sweep import prepare_sweep, run_sweep
from probes.sweep.sweep_file import cell_file, cells_folder, check_sweep_file, claimed, read_sweep
from probes.system.progress import UNWATCHED, Work
from probes.tasks.item_files import item_set
from probes.tasks.judge import judge
from probes.tasks.results_file import read_results
from probes.tasks.scored_items import score_items
from tests.support.tiny import byte_tokenizer, save, tiny

FEW = CalibrationSpec(samples=2, length=8)
FAST = LoadOptions(threads=1)
SHORT = TaskOptions(new_tokens=3)
QUESTIONS = [{"question": f"Which is {n}?", "choices": ["one", "two", "three"], "answer": n} for n in range(3)]
PASSAGES = [
    {"query": f"word {n}", "positive": f"A text on {n}.", "documents": [f"A text on {m}." for m in range(3)]}
    for n in range(3)
]
PROMPTS = [{"prompt": f"Count to {n}:", "target": str(n)} for n in range(2)]
TALE = PromptTask("tale", "Once", raw=True, steps=4, sampling=Sampling(temperature=0.7))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    tokenizer = byte_tokenizer()
    return str(save(tmp_path_factory.mktemp("dense"), tiny("llama", vocab_size=len(tokenizer)), tokenizer))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, rows in (("choose", QUESTIONS), ("find", PASSAGES), ("say", PROMPTS)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def plan(model: str, settings: str, *tasks: str, **more: Any) -> SweepPlan:
    made = SweepPlan(swept_settings(settings), model, tasks, load=FAST, calibration=FEW, options=SHORT)
    return replace(made, **more)


def swept(asked: SweepPlan, name: str = "sweep.jsonl", **more: Any) -> list[CellResult]:
    return list(run_sweep(asked, Path(name), **more))


def pair_of(model: str, setting: str, seed: int | None = None) -> Pair:
    calibration = FEW if seed is None else replace(FEW, seed=seed)
    return load_pair(PairSpec(model, prune=swept_settings(setting)[0].setting, calibration=calibration, load=FAST))


def test_cells_equal_single_runs(model: str) -> None:
    found = swept(plan(model, "wanda:0.5,drop-attn:1", "choose.jsonl", "find.jsonl", "say.jsonl"))
    assert len(found) == 6
    for result in found:
        pair = pair_of(model, result.cell.setting)
        items = item_set(f"{result.cell.task}.jsonl")
        scored = [one for one in score_items(pair, [items], options=SHORT) if isinstance(one, ItemResult)]
        verdict = judge(TaskResults("", "", "", tuple(scored)), [items])
        assert result.row == verdict.rows[0]
        assert result.mask == pair.report.mask_hash
        kept = read_results(cell_file(Path("sweep.jsonl"), result.cell.key))
        assert sorted(kept.results, key=lambda one: one.item) == sorted(scored, key=lambda one: one.item)
        assert judge(kept.found, kept.item_sets).rows[0] == result.row
        dropped, zeroed = pair.report.dropped_parameters, pair.report.zeroed
        assert (result.removed.dropped, result.removed.zeroed) == (dropped, zeroed)
        assert result.removed.of == pair.dense.info.parameters


def test_a_prompts_cell_equals_a_run_with_the_seed_of_the_cell(model: str) -> None:
    found = swept(plan(model, "random:0.3", prompts=(TALE,), seeds=(0, 3)))
    assert [one.cell.seed for one in found] == [0, 3]
    for seed, result in zip((0, 3), found, strict=True):
        settings = prompt_settings(replace(TALE, sampling=replace(TALE.sampling, seed=seed)))
        with pair_of(model, "random:0.3", seed).lockstep(settings) as lockstep:
            assert result.run == summarise(list(lockstep))
    assert found[0].run != found[1].run


def test_what_is_known_is_not_computed_again(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan(model, "magnitude:{0.3,0.5}", "choose.jsonl")
    first = swept(asked)
    assert len(first) == 2
    Path("renamed.jsonl").write_bytes(Path("choose.jsonl").read_bytes())
    with monkeypatch.context() as patched:
        patched.setattr(worker, "score_items", None)
        assert swept(asked) == []
        assert swept(replace(asked, tasks=("renamed.jsonl",))) == [], "equal items of another name are the same cells"
    more = swept(replace(asked, settings=swept_settings("magnitude:{0.3,0.5,0.7}")))
    assert [one.cell.setting for one in more] == ["magnitude:0.7"]
    assert len(read_sweep("sweep.jsonl").results) == 3
    assert len(read_sweep("sweep.jsonl").header.cells) == 3


def test_a_cell_that_fails_is_recorded_and_tried_again(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, plain = plan(model, "magnitude:{0.3,0.5}", "choose.jsonl", "say.jsonl"), score_items

    def failing(pair: Pair, sets: list, *args: Any, **more: Any) -> Iterator[object]:
        if sets[0].name == "say" and "0.3" in pair.pruned.info.name:
            raise Failure("Out of memory", "It does not fit.", "Use less.")
        if sets[0].name == "say":
            raise ZeroDivisionError("a mistake")
        return plain(pair, sets, *args, **more)

    told: list[SweepProgress] = []
    with monkeypatch.context() as patched:
        patched.setattr(worker, "score_items", failing)
        found = swept(asked, tell=told.append)
    assert [one.error.title if one.error else "" for one in found] == ["", "Out of memory", "", "Unexpected error"]
    assert (told[-1].done, told[-1].failed, told[-1].of, told[-1].running) == (2, 2, 4, ())
    again = swept(asked)
    assert [(one.cell.task, one.error) for one in again] == [("say", None), ("say", None)]


def test_a_setting_that_fails_fails_all_of_its_cells_and_no_other(model: str) -> None:
    found = swept(plan(model, "drop-attn:{3,9},magnitude:0.5", "choose.jsonl", "say.jsonl"))
    assert [one.error.title if one.error else "" for one in found[2:]] == ["Too many to drop"] * 2 + ["", ""]


def test_seeds_without_effect_are_one_cell_and_a_note(model: str) -> None:
    asked = plan(model, "magnitude:0.5,random:0.5", "choose.jsonl", seeds=(0, 1))
    prepared = prepare_sweep(asked, Here())
    assert [(one.cell.setting, one.cell.seed) for one in prepared.cells] == [
        ("magnitude:0.5", None),
        ("random:0.5", 0),
        ("random:0.5", 1),
    ]
    assert prepared.notes == ("2 seeds are one cell wherever nothing is drawn at random: magnitude:0.5.",)


def test_the_same_cell_under_two_names_is_refused(model: str) -> None:
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("1 0.5")
    with pytest.raises(BadInput, match=r"magnitude:table=b\.txt on choose are the same cell"):
        swept(plan(model, "magnitude:table={a.txt,b.txt}", "choose.jsonl"))


def test_another_margin_judges_the_known_items_again(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan(model, "magnitude:0.9", "choose.jsonl")
    swept(asked)
    monkeypatch.setattr(worker, "score_items", None)
    swept(replace(asked, margin=0.5, level=0.6))
    sweep = read_sweep("sweep.jsonl")
    items = item_set("choose.jsonl")
    kept = read_results(cell_file(Path("sweep.jsonl"), sweep.header.cells[0].key))
    assert (sweep.header.margin, sweep.header.level) == (0.5, 0.6)
    assert sweep.results[-1].row == judge(kept.found, [items], 0.5, 0.6).rows[0] != sweep.results[0].row


def test_results_of_other_versions_are_not_mixed(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan(model, "magnitude:0.5", "choose.jsonl")
    swept(asked)
    before = Path("sweep.jsonl").read_bytes()
    header = json.loads(before.split(b"\n")[0])
    header["versions"]["torch"] = "1.0"
    Path("sweep.jsonl").write_bytes(json.dumps(header, separators=(",", ":")).encode() + b"\n")
    with pytest.raises(BadInput, match=r"results of torch 1\.0"):
        swept(asked)


@pytest.mark.parametrize("content", [b"hello", b"hello\n", b'{"kind":"results"}\n'])
def test_another_file_is_left_alone(model: str, content: bytes) -> None:
    Path("sweep.jsonl").write_bytes(content)
    with pytest.raises(BadInput, match="no sweep's file"):
        swept(plan(model, "magnitude:0.5", "choose.jsonl"))
    assert Path("sweep.jsonl").read_bytes() == content


class Dying(Here):
    """Loses its worker at the first jobs."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def wait(self, work: Work = UNWATCHED) -> tuple[str, JobDone] | ItemsFound | WorkerLost:
        if self.left and self._job is not None:
            self.left -= 1
            job: Job | None = self._job
            self.close()
            return WorkerLost("here", job, "killed")
        return super().wait(work)


def test_the_cell_of_a_worker_that_dies_is_given_again_but_not_for_ever(model: str) -> None:
    asked = plan(model, "magnitude:{0.3,0.5}", "choose.jsonl")
    assert [one.error for one in run_sweep(asked, Path("once.jsonl"), Dying(2))] == [None, None]
    found = list(run_sweep(asked, Path("often.jsonl"), Dying(3)))
    assert [one.error.title if one.error else "" for one in found] == ["Workers died", ""]


def test_the_importance_of_layers_is_measured_once(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    passes, plain = [], block_walk.stream

    def counted(*args: Any, **more: Any) -> object:
        passes.append(args)
        return plain(*args, **more)

    monkeypatch.setattr(importance, "stream", counted)
    found = swept(plan(model, "drop-attn:{1..3}", "choose.jsonl"))
    assert len(passes) == 1
    assert [len(one.removed.parts) for one in found] == [1, 2, 3]
    swept(plan(model, "drop-attn-iter:{1..3}", "choose.jsonl"))
    assert len(passes) == 4, "the first is known, each further layer is measured once, and a new worker begins again"


def test_the_estimate_becomes_the_measured_time(model: str) -> None:
    asked = plan(model, "magnitude:{0.3,0.5}", "choose.jsonl", "say.jsonl")
    prepared = prepare_sweep(asked, Here())
    before = estimated(prepared.dense, prepared.cells, {}, SHORT)
    assert (before.cells, before.measured) == (4, False)
    assert before.seconds > 0
    assert before.bytes_each > 2 * prepared.dense.bytes
    results = {str(one.cell.key): one for one in swept(replace(asked, settings=asked.settings[:1]))}
    after = estimated(prepared.dense, prepared.cells, results, SHORT, workers=2)
    assert (after.cells, after.measured) == (2, True)
    assert after.bytes_each == max(one.peak_bytes for one in results.values())
    scoring = sum(one.seconds for one in results.values())
    assert scoring / 2 <= after.seconds <= (scoring + sum(one.pruning_seconds for one in results.values())) / 2


def test_a_row_is_small(model: str) -> None:
    swept(plan(model, "drop-attn:1,wanda:0.5", "choose.jsonl", "find.jsonl", "say.jsonl", prompts=(TALE,)))
    assert all(len(line) < 5000 for line in Path("sweep.jsonl").read_bytes().split(b"\n")[1:])
    assert not list(cells_folder(Path("sweep.jsonl")).glob("*.lock"))


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of threads with which items are scored, on a machine that seems to have four cores."""
    found: list[int] = []

    def watched(*given: Any, **more: Any) -> Iterator[Any]:
        found.append(torch.get_num_threads())
        return score_items(*given, **more)

    monkeypatch.setattr(worker, "score_items", watched)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    before = torch.get_num_threads()
    yield found
    torch.set_num_threads(before)


def test_a_sweep_goes_on_with_the_threads_that_it_began_with(model: str, numbers: list[int]) -> None:
    asked = plan(model, "magnitude:0.5", "choose.jsonl", load=LoadOptions(threads=2))
    swept(asked)
    assert read_sweep("sweep.jsonl").header.threads == 2
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    swept(plan(model, "magnitude:{0.5,0.4}", "choose.jsonl", load=LoadOptions()))
    assert numbers == [2, 2]
    assert torch.get_num_threads() == 1, "the file's number is for its cells alone"
    assert read_sweep("sweep.jsonl").header.threads == 2


def test_another_number_of_threads_is_refused_before_anything_is_loaded(model: str, numbers: list[int]) -> None:
    asked = plan(model, "magnitude:0.5", "choose.jsonl", load=LoadOptions(threads=1))
    swept(asked)
    other = replace(asked, load=LoadOptions(threads=3))
    with pytest.raises(BadInput, match=r"with 1 thread, not 3\. The last digits"):
        check_sweep_file(Path("sweep.jsonl"), 3)
    with pytest.raises(BadInput, match="with 1 thread, not 3"):
        swept(other)
    assert check_sweep_file(Path("sweep.jsonl"), 0) == 1
    assert check_sweep_file(Path("new.jsonl"), 3) == 0
    assert numbers == [1]


def test_masks_of_another_number_of_threads_are_not_used_again(model: str, numbers: list[int]) -> None:
    hand = worker.CellWorker()
    asked = plan(model, "wanda:0.5", "choose.jsonl", load=LoadOptions(threads=1))
    one = prepare_sweep(asked, Here()).cells[0]
    walks: list[int] = []

    def walked(*given: Any, **more: Any) -> Any:
        walks.append(torch.get_num_threads())
        return pair_with_twin(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "pair_with_twin", walked)
        for threads in (2, 2, 3, 0):
            hand.do(Job(one.cell, one.spec, one.items, options=SHORT, threads=threads))
    assert walks == [2, 3, 1]
    assert numbers == [2, 2, 3, 1]


def test_a_cell_that_another_program_computes_is_waited_for_and_said(model: str) -> None:
    prepared = prepare_sweep(plan(model, "magnitude:{0.4,0.5}", "choose.jsonl"), Here())
    elsewhere: list[int] = []
    cells_folder(Path("sweep.jsonl")).mkdir()
    with ExitStack() as claim:
        assert claim.enter_context(claimed(Path("sweep.jsonl"), prepared.cells[0].cell.key))

        def tell(progress: SweepProgress) -> None:
            elsewhere.append(progress.elsewhere)
            if progress.elsewhere:
                claim.close()  # that program ends without a result

        found = list(run_sweep(prepared, Path("sweep.jsonl"), tell=tell))
    assert [one.cell.setting for one in found] == ["magnitude:0.5", "magnitude:0.4"]
    assert set(elsewhere) == {0, 1}


def test_a_worker_reads_its_models_one_after_the_other(model: str) -> None:
    hand = worker.CellWorker()
    one = prepare_sweep(plan(model, "magnitude:0.5", prompts=(TALE,)), Here()).cells[0]
    assert hand.do(Job(one.cell, one.spec, prompt=one.prompt)).result.run is not None
    assert hand._pair is not None
    assert hand._pair.overlap is ONE_AFTER_THE_OTHER, "the number of threads is the cell's alone"
