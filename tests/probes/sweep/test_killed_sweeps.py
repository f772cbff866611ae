"""A sweep that is killed again and again while it writes, and two sweeps on one file: as if nothing had happened."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from probes.recording.reader import read
from probes.schema.sweep import CellResult
from probes.sweep.sweep_file import cell_file, cells_folder, read_sweep
from probes.tasks.results_file import KeptResults, read_results
from tests.support.forked import with_torch
from tests.support.killed_sweeps import CELLS, KILLS, PROGRAM

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sweeps")
    environment = {**os.environ, "PHIER_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    ran = with_torch().run(PROGRAM, folder / "here", env=environment)
    assert ran.returncode == 0, ran.stderr.decode()
    return folder / "here", json.loads(ran.stdout)


def without_times(result: CellResult) -> CellResult:
    """The figures alone: how long it took, and where masks were taken from, may differ."""
    notes = tuple(one for one in result.notes if not one.startswith("The masks were kept"))
    return replace(result, seconds=0.0, pruning_seconds=0.0, peak_bytes=0, notes=notes)


def figures(path: Path) -> dict[str, CellResult]:
    results = read_sweep(path).results
    found = {str(one.cell.key): without_times(one) for one in results}
    assert len(found) == len(results) == CELLS, "no row is lost or there twice"
    assert not any(one.error for one in results)
    return found


def kept(path: Path) -> dict[str, KeptResults]:
    """The items of each cell of a task, in the order of their ids."""
    found = {}
    for cell in read_sweep(path).header.cells:
        if not cell.task.startswith("prompt"):
            one = read_results(cell_file(path, cell.key))
            assert len({result.item for result in one.results}) == len(one.results) == 3, "no item is there twice"
            found[str(cell.key)] = replace(
                one,
                header=replace(one.header, started="", notes=()),
                results=tuple(sorted(one.results, key=lambda result: result.item)),
            )
    return found


@pytest.mark.parametrize("name", ["killed", "shared"])
def test_the_figures_are_those_of_a_sweep_left_alone(made: tuple[Path, dict[str, Any]], name: str) -> None:
    folder, codes = made
    assert codes == {"killed": [-9] * KILLS + [0], "shared": [0, 0]}
    whole, other = folder / "whole.jsonl", folder / f"{name}.jsonl"
    assert figures(other) == figures(whole)
    assert kept(other) == kept(whole)
    assert read_sweep(other).header.cells == read_sweep(whole).header.cells


@pytest.mark.parametrize("name", ["whole", "killed", "shared"])
def test_each_prompt_has_a_recording_and_no_claim_is_left(made: tuple[Path, dict[str, Any]], name: str) -> None:
    path = made[0] / f"{name}.jsonl"
    for cell in read_sweep(path).header.cells:
        if cell.task == "prompt 1":
            assert len(read(cell_file(path, cell.key)).run.branches.path()) == 4
    assert not list(cells_folder(path).glob(".*")), "no part of a file is left"
    if name != "killed":
        assert not list(cells_folder(path).glob("*.lock"))
