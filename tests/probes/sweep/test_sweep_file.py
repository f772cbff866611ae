"""A sweep's file: what is appended is read again, also by others, after a power cut, and with damage."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from probes.schema.errors import BadInput, Failure
from probes.schema.summary import summarise
from probes.sweep.sweep_file import cells_folder, claimed, read_sweep, sweep_file
from tests.support.sweeps import cell, counted_row, failed, scored, stepped, swept

CELLS = [cell("wanda:0.3"), cell("wanda:0.5"), cell("wanda:0.5", "prompt 1", seed=3)]
HEADER = swept(CELLS, []).header
RESULTS = [
    scored(CELLS[0], counted_row(30, 2, 1, 7)),
    failed(CELLS[1]),
    stepped(CELLS[2], replace(summarise(()), kl_sum=math.inf)),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "a" / "sweep.jsonl"
    with sweep_file(made) as file:
        file.begin(HEADER)
        assert all(map(file.add, RESULTS))
    return made


def test_what_was_appended_is_read_again_figures_that_are_not_finite_too(path: Path) -> None:
    found = read_sweep(path)
    assert (found.header, list(found.results)) == (HEADER, RESULTS)
    assert json.loads(path.read_text().splitlines()[3])["nonfinite"] == {"run.kl_sum": "inf"}


def test_a_result_is_there_once_and_an_error_is_replaced(path: Path) -> None:
    row = counted_row(20, 5, 0, 15)
    with sweep_file(path) as one, sweep_file(path) as other:
        assert not one.add(RESULTS[0])
        assert other.add(scored(CELLS[1], row))
        assert not one.add(failed(CELLS[1])), "the other program's line is read first"
        assert not one.add(scored(CELLS[1], counted_row(1)))
        assert one.results[str(CELLS[1].key)].row == replace(row, task="facts")
    assert len(read_sweep(path).results) == 4


def test_the_latest_plan_counts(path: Path) -> None:
    other = replace(HEADER, cells=HEADER.cells[:1], margin=0.1, started="later")
    with sweep_file(path) as file:
        file.begin(replace(HEADER, started="later"))
        assert file.header == HEADER, "the same plan is not appended again"
        file.begin(other)
    assert read_sweep(path).header == other
    assert len(read_sweep(path).results) == 3


@pytest.mark.parametrize("lost", [1, 30, 200])
def test_an_incomplete_last_line_is_left_out_and_then_removed(path: Path, lost: int) -> None:
    whole = path.read_bytes()
    os.truncate(path, len(whole) - lost)
    assert list(read_sweep(path).results) == RESULTS[:2]
    with sweep_file(path) as file:
        assert file.add(RESULTS[2])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", ["{", "[1]", '{"kind":"cell"}', '{"kind":"cell","cell":{"setting":1}}'])
def test_a_damaged_line_is_named(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(BadInput, match=r"Line 5 of .* can't be read: .*Delete that line"):
        read_sweep(path)


def test_a_line_of_a_later_version_is_passed_over_and_a_later_format_refused(path: Path) -> None:
    path.write_text(path.read_text() + '{"kind":"remark","text":"new"}\n')
    assert len(read_sweep(path).results) == 3
    path.write_text(path.read_text().replace('"format":1', '"format":2', 1))
    with pytest.raises(BadInput, match="has format 2, and this version reads up to 1"):
        read_sweep(path)


def test_what_can_not_be_read_or_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="it is a folder"):
        read_sweep(tmp_path)
    with pytest.raises(BadInput, match="No such file"):
        read_sweep(tmp_path / "none.jsonl")
    with pytest.raises(BadInput, match="is no sweep's file"):
        read_sweep(tmp_path / "file")
    with pytest.raises(Failure, match="can't be written"), sweep_file(tmp_path / "file" / "sweep.jsonl"):
        pass


def test_a_cell_is_claimed_once_and_the_claim_leaves_nothing(path: Path) -> None:
    key = CELLS[0].key
    with claimed(path, key) as mine, claimed(path, key) as again, claimed(path, CELLS[1].key) as other:
        assert (mine, again, other) == (True, False, True)
    with claimed(path, key) as later:
        assert later
    assert not list(cells_folder(path).iterdir())
