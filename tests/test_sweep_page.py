"""The programs in docs/sweep.md read a sweep's file as it is written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from probes.schema.summary import summarise
from probes.schema.sweep import Sweep
from probes.sweep.curves import curves
from probes.sweep.sweep_file import sweep_file
from tests.support.sweeps import cell, counted_row, failed, scored, stepped, swept

PAGE = (Path(__file__).parents[1] / "docs" / "sweep.md").read_text("utf-8")
PANDAS, POLARS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Two settings on two tasks, one with two seeds; a prompt, an error that was repeated, a cell judged twice, and
    an infinite figure."""
    monkeypatch.chdir(tmp_path)
    tasks = [cell(setting, task) for setting in ("wanda:0.5", "wanda:0.6") for task in ("facts", "tone")]
    seeded = [cell("random:0.1", "facts", seed=seed) for seed in (0, 1)]
    prompt = cell("wanda:0.5", "prompt 1")
    rows = [counted_row(70 - n, n + 4, 2, 24) for n in range(6)]
    results = [scored(one, row, 0.25) for one, row in zip((*tasks, *seeded), rows, strict=True)]
    run = replace(summarise([]), perplexity_ratio=float("inf"))
    every = [failed(tasks[0]), *results, stepped(prompt, run), failed(cell("wanda:0.9"))]
    made = swept([*tasks, *seeded, prompt, cell("wanda:0.9")], every)
    with sweep_file(Path("sweep.jsonl")) as file:
        file.begin(made.header)
        for result in every:
            file.add(result)
        file.judge_again(replace(results[0], row=replace(rows[0], agreement=0.5)))
    return made


def expected(found: Sweep) -> dict[tuple[str, str], float]:
    """The scores by setting and task."""
    return {
        (point.setting, curve.task): point.value
        for curve in curves(found)
        for point in curve.points
        if point.value is not None and curve.kind is not None
    }


def test_pandas_reads_the_file_as_shown(written: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas")
    there: dict[str, Any] = {}
    exec(PANDAS, there)
    scores, cells = there["scores"], there["cells"]
    read = {(setting, task): value for setting, row in scores.iterrows() for task, value in row.dropna().items()}
    assert read == pytest.approx(expected(written))
    assert cells["removed.share"].tolist() == [0.25] * 6
    assert cells["row.agreement"].tolist().count(0.5) == 1
    assert "row.outcome" in capsys.readouterr().out


def test_polars_reads_the_file_as_shown(written: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("polars")
    there: dict[str, Any] = {}
    exec(POLARS, there)
    scores, cells = there["scores"], there["cells"]
    read = {
        (row["setting"], task): value
        for row in scores.to_dicts()
        for task, value in row.items()
        if task != "setting" and value is not None
    }
    assert read == pytest.approx(expected(written))
    assert cells["share"].to_list() == [0.25] * 6
    assert "outcome" in capsys.readouterr().out
