"""A worker gives back what the dense model gave, and the next cell of the task needs no pass of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from probes.schema.items import ItemSet
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow
from probes.schema.spec import PairSpec
from probes.schema.sweep import PromptTask
from probes.schema.task_options import TaskOptions
from probes.sweep.jobs import Job
from probes.sweep.worker import CellWorker
from tests.support.scored_pairs import SAY, TOKENIZER, WORDS
from tests.support.sweeps import cell
from tests.support.tiny import save, tiny

TASKS = (replace(WORDS, questions=WORDS.questions[:1]), replace(SAY, prompts=SAY.prompts[:1]))
PROMPTS = tuple(PromptTask(str(follow), "the cat", raw=True, follow=follow, steps=4) for follow in Follow)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("dense"), tiny("llama", vocab_size=len(TOKENIZER)), TOKENIZER)


def job(folder: Path, setting: str, task: ItemSet | PromptTask) -> Job:
    spec = PairSpec(str(folder), prune=parse(setting))
    given = {"items": task} if isinstance(task, ItemSet) else {"prompt": task}
    return Job(cell(setting, task.name), spec, options=TaskOptions(new_tokens=3), **given)


def test_a_cell_with_a_dense_side_equals_one_without_and_needs_no_dense_pass(folder: Path) -> None:
    worker = CellWorker()
    tasks: tuple[ItemSet | PromptTask, ...] = (
        *TASKS,
        *(one for one in PROMPTS if one.follow in (Follow.FREE, Follow.DENSE)),
    )
    sides = [worker.do(job(folder, "magnitude:0.3", task)).dense_side for task in tasks]
    assert all(sides)
    assert worker._dense is not None
    ran: list[int] = []
    block = next(module for module in worker._dense.model.modules() if isinstance(module, nn.ModuleList))[0]
    for task, side in zip(tasks, sides, strict=True):
        asked = job(folder, "magnitude:0.5", task)
        handle = block.register_forward_hook(lambda *_: ran.append(1))
        alone = worker.do(asked)
        assert ran
        ran.clear()
        recalled = worker.do(replace(asked, dense_side=side))
        handle.remove()
        assert not ran
        assert recalled.items == alone.items
        assert (recalled.result.row, recalled.result.run) == (alone.result.row, alone.result.run)
        assert recalled.result.notes == alone.result.notes
        assert recalled.result.error is None
        assert recalled.dense_side == b""
        assert alone.dense_side == side


def test_what_the_dense_model_reads_of_the_pruned_text_is_not_kept(folder: Path) -> None:
    prompt = next(one for one in PROMPTS if one.follow is Follow.PRUNED)
    done = CellWorker().do(job(folder, "magnitude:0.5", prompt))
    assert done.result.run is not None
    assert done.dense_side == b""


def test_a_damaged_dense_side_is_computed_again_and_said(folder: Path) -> None:
    done = CellWorker().do(replace(job(folder, "magnitude:0.5", TASKS[0]), dense_side=b"damaged"))
    assert done.result.row is not None
    assert done.dense_side
    assert "The kept dense side is damaged, so it is computed again." in done.result.notes
