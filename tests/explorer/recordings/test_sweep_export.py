"""Exports of a sweep: the tidy table, and the figures of its curves."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from explorer.cli.main import phier
from explorer.recordings.export.sweep_export import check_sweep_export, export_sweep
from probes.schema.errors import BadInput
from probes.sweep.curves import curves
from tests.support.formula_sweep import DROPS, SETTINGS, TASKS, WANDA, some_sweep, write_sweep

_READERS = {
    "csv": lambda file: pl.read_csv(file, infer_schema_length=None),
    "parquet": pl.read_parquet,
    "jsonl": lambda file: pl.read_ndjson(file, infer_schema_length=None),
}


def test_the_table_has_a_row_for_every_cell(tmp_path: Path) -> None:
    sweep = some_sweep(SETTINGS, (*TASKS, "prompt 1"), done=60, errors=(1,))
    for form in ("csv", "parquet", "jsonl"):
        [file] = export_sweep(sweep, tmp_path / f"out.{form}")
        table = _READERS[form](file)
        assert len(table) == 75
        assert table["state"].to_list().count("waiting") == 15
        assert table["state"].to_list().count("failed") == 1
        first = table.row(0, named=True)
        row = sweep.results[0].row
        assert row is not None
        assert first["setting"] == "wanda:0.1"
        assert first["amount"] == 0.1
        assert first["pruned"] == pytest.approx(row.pruned.value)
        assert first["difference.low"] == pytest.approx(row.difference.low)
        assert first["outcome"] == str(row.outcome)
        removed = sweep.results[0].removed
        assert removed is not None
        assert first["removed"] == pytest.approx(removed.share)
        knees = table.filter(pl.col("knee").fill_null(value=False))
        wanted = {(curve.task, curve.at_knee.setting) for curve in curves(sweep) if curve.at_knee is not None}
        assert set(zip(knees["task"], knees["setting"], strict=True)) == wanted
        prompt = table.filter(pl.col("task") == "prompt 1").row(0, named=True)
        run = sweep.results[4].run
        assert run is not None
        assert prompt["run.survival"] == pytest.approx(run.survival)
        assert "NaN at layer 12" in table.filter(pl.col("state") == "failed")["error"][0]


def test_a_figure_for_each_family_names_the_knees(tmp_path: Path) -> None:
    files = export_sweep(some_sweep((*WANDA, *DROPS[:2])), tmp_path / "ladder.svg")
    assert [file.name for file in files] == ["ladder-wanda.svg", "ladder-drop-attn.svg"]
    text = files[0].read_text("utf-8")
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "Safe up to 0.4 for facts, 0.3 for moods and passages, 0.2 for answers." in text
    assert "First to give out: answers; up to 0.3 everything else is still safe." in text


def test_one_family_keeps_the_name_and_prompts_are_drawn(tmp_path: Path) -> None:
    [file] = export_sweep(some_sweep(WANDA, ("answers", "prompt 1"), done=5, errors=(2,)), tmp_path / "one.png")
    assert file.name == "one.png"
    assert file.read_bytes().startswith(b"\x89PNG")
    prompt = some_sweep(WANDA[:1], ("prompt 1",))
    [only], [again] = (export_sweep(prompt, tmp_path / name) for name in ("one.pdf", "again.pdf"))
    assert only.read_bytes().startswith(b"%PDF")
    assert only.read_bytes() == again.read_bytes()


def test_nothing_to_draw_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No cell"):
        export_sweep(some_sweep(done=0), tmp_path / "none.csv")
    with pytest.raises(BadInput, match="no ending"):
        check_sweep_export(str(tmp_path / "out.html"))


def test_the_command_exports_what_a_file_holds_without_a_model(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, some_sweep(WANDA, ("answers",)))
    out = tmp_path / "out.jsonl"
    done = CliRunner().invoke(phier, ["sweep", str(path), "--export", str(out), "--margin", "0.25"])
    assert done.exit_code == 0, done.output
    assert "Exported to" in done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["setting"] for row in rows if row["knee"]] == ["wanda:0.4"]
    assert rows[0]["margin"] == 0.25
    refused = CliRunner().invoke(phier, ["sweep", str(path), "--export", str(out), "--tasks", "facts"])
    assert isinstance(refused.exception, BadInput) or refused.exit_code == 2
    assert "no effect" in f"{refused.output}{refused.exception}"
