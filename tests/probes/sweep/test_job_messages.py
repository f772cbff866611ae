"""What is sent to another machine and back: the same data on both sides, and nothing but data."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest

from probes.schema.errors import Failure
from probes.schema.items import ItemSet
from probes.schema.prune_setting import parse
from probes.schema.settings import Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.sweep import Cell, CellError, CellKey, CellResult, PromptTask, Removed
from probes.schema.task_options import TaskOptions
from probes.schema.task_results import ItemResult, Similarities
from probes.sweep.job_messages import done_message, job_message, read_done, read_job
from probes.sweep.jobs import Job, JobDone
from probes.tasks.judge import task_row
from probes.tasks.results_file import ResultsHeader
from probes.tasks.scored_items import score_items
from tests.support.scored_pairs import EVERY_KIND, FIND, LETTERS, tiny_pair

CELL = Cell("wanda:0.5", "wanda:{}", 0.5, "letters", 3, CellKey("a" * 12, "b" * 12, "", "c" * 12, ""))
SPEC = PairSpec(
    "folder/of the model",
    prune=parse('wanda:0.5@mlp+magnitude:table="a+b.txt"@layers=3-5+drop-attn@layers=20,22'),
    calibration=CalibrationSpec("text.txt", 4, 16, 3),
    load=LoadOptions(device="cpu", dtype="float64", threads=1),
)


def scored_of(items: ItemSet) -> tuple[ItemResult | Similarities, ...]:
    """Similarities last."""
    return tuple(sorted(score_items(tiny_pair(), [items]), key=lambda one: isinstance(one, Similarities)))


@pytest.mark.parametrize("items", EVERY_KIND, ids=lambda items: items.name)
def test_a_job_arrives_as_it_was_sent(items: ItemSet) -> None:
    scored = scored_of(items)
    job = Job(CELL, SPEC, items, options=TaskOptions(refuse_long=True, new_tokens=5), margin=0.1, level=0.9)
    job = replace(job, known=scored)
    assert read_job(job_message(job)) == job
    assert read_job(job_message(job), b"states").dense_side == b"states"


def test_the_job_of_a_prompt_arrives_as_it_was_sent() -> None:
    prompt = PromptTask(
        "prompt 1", "Why? \x1b[31m \u202e", raw=True, steps=7, sampling=Sampling(temperature=0.5, seed=3)
    )
    job = Job(replace(CELL, amount=None, seed=None), SPEC, prompt=prompt)
    assert read_job(job_message(job)) == job


@pytest.mark.parametrize("items", [LETTERS, FIND], ids=lambda items: items.name)
def test_what_a_job_gave_arrives_as_it_was_given(items: ItemSet) -> None:
    scored = scored_of(items)
    row = task_row(items, [one for one in scored if isinstance(one, ItemResult)], 0.02, 0.95)
    result = CellResult(
        CELL, row, removed=Removed(5, 0, ("attn 1",), 10), mask="ab", seconds=0.1 + 0.2, worker="tcp://a"
    )
    header = ResultsHeader("dense", "pruned", "wanda:0.5", {"mask": "ab"}, notes=("a note",))
    done = JobDone(result, scored, header, (b"one\n", b"two\xff"), b"\0states")
    assert read_done(done_message(done), Job(CELL, SPEC, items), "tcp://a") == done


def test_figures_that_are_not_finite_arrive() -> None:
    first = scored_of(LETTERS)[0]
    assert isinstance(first, ItemResult)
    odd = replace(first, options=replace(first.options, kl=math.inf))
    done = JobDone(CellResult(CELL), (odd,))
    assert read_done(done_message(done), Job(CELL, SPEC, LETTERS), "").items == (odd,)


def test_text_of_another_machine_is_safe_to_show() -> None:
    error = CellError("Title\x1b[2J", "message \u202e" + "x" * 100_000)
    done = JobDone(CellResult(CELL, error=error, notes=("a\nb",), worker="somebody else"))
    result = read_done(done_message(done), Job(CELL, SPEC, LETTERS), "tcp://a").result
    assert result.error.title == "Title␛[2J"
    assert "\u202e" not in result.error.message
    assert len(result.error.message) <= 8000
    assert result.notes == ("a↵b",)
    assert result.worker == "tcp://a", "the worker itself does not say who it is"


def test_another_answer_is_refused() -> None:
    items = tuple(score_items(tiny_pair(), [LETTERS]))
    good, job = done_message(JobDone(CellResult(CELL), items)), Job(CELL, SPEC, LETTERS)
    other = replace(CELL, key=replace(CELL.key, model="d" * 12))
    for message in (
        b"",
        b"\x80\x04K\x01.",  # a pickle
        good[:-1],
        msgspec.msgpack.encode([b"{}"]),
        msgspec.msgpack.encode([b'{"value": {"result": 1}, "nonfinite": {}}', b""]),
        msgspec.msgpack.encode([b"[" * 100_000, b""]),
        done_message(JobDone(CellResult(other), items)),
        done_message(JobDone(CellResult(CELL), (replace(items[0], task="find"),))),
    ):
        with pytest.raises(Failure, match="can't be read"):
            read_done(message, job, "tcp://a")
    assert read_done(good, job, "tcp://a").items == items
