"""A verdict as table, figure and page."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import polars
import pytest

from explorer.cli.verdict_table import verdict_object
from explorer.recordings.export import verdict_export
from explorer.recordings.export.verdict_export import VERDICT_FORMATS, check_verdict_export, export_verdict
from explorer.words.verdicts import claim_sentence, row_sentence
from probes.schema.errors import BadInput, Failure
from probes.tasks.judge import judge
from tests.support.task_results import found
from tests.support.verdicts import SETS, some_verdict


def exported(folder, form, verdict=None):
    verdict = verdict or some_verdict()
    path = check_verdict_export(str(folder / f"out.{form}"))
    export_verdict(verdict, path, verdict_object(verdict))
    return path.read_bytes()


def test_csv_has_a_row_a_task(tmp_path):
    rows = list(csv.DictReader(io.StringIO(exported(tmp_path, "csv").decode())))
    verdict = some_verdict()
    assert [row["task"] for row in rows] == ["facts", "moods", "passages", "answers"]
    assert float(rows[1]["difference.low"]) == verdict.rows[1].difference.low
    assert rows[1]["outcome"] == "broken"
    assert rows[1]["sentence"] == row_sentence(verdict.rows[1], 0.02, 0.95)
    assert float(rows[2]["recall@5.dense"]) == 1.0
    assert rows[0]["recall@5.dense"] == ""
    assert float(rows[3]["KL a token"]) == 0.5
    assert (rows[2]["spaces.options_kl"], float(rows[0]["spaces.options_kl"])) == ("", 0.125)


def test_parquet_keeps_types(tmp_path):
    frame = polars.read_parquet(io.BytesIO(exported(tmp_path, "parquet")))
    assert frame["items"].dtype == polars.Int64
    assert frame["difference"].dtype == polars.Float64
    assert frame["half-life (median)"].to_list() == [None] * 4
    assert frame["items_needed"].to_list()[1] is None


def test_json_is_that_of_the_command(tmp_path):
    assert json.loads(exported(tmp_path, "json"))["claim"] == claim_sentence(some_verdict())


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_figures_are_the_same_each_time(tmp_path, form):
    once = exported(tmp_path, form)
    assert once.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[form])
    assert once == exported(tmp_path, form)
    if form == "svg":
        assert claim_sentence(some_verdict()).encode() in once


def test_the_page_needs_nothing_else(tmp_path):
    page = exported(tmp_path, "html").decode()
    for row in some_verdict().rows:
        assert row_sentence(row, 0.02, 0.95).replace("'", "&#x27;") in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<rect") == 12


def test_names_are_data_on_the_page(tmp_path):
    verdict = some_verdict()
    odd = replace(verdict.rows[0], task="<script>alert(1)</script>")
    page = exported(tmp_path, "html", replace(verdict, rows=(odd,), setting="<b>", notes=("<i>",))).decode()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<i>" not in page
    assert exported(tmp_path, "svg", replace(verdict, rows=(odd,), setting="$x$"))


@pytest.mark.parametrize("form", VERDICT_FORMATS)
def test_nothing_scored_yet_is_exported_too(tmp_path, form):
    assert exported(tmp_path, form, judge(found(), SETS))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("out", "has no ending of a format"),
        ("out.xls", "has no ending of a format"),
        ("folder.csv", "is a folder"),
        ("none/out.csv", "There is no folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, name, says):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadInput, match=says):
        check_verdict_export(str(tmp_path / name))


def test_a_missing_package_is_named_early(tmp_path, monkeypatch):
    monkeypatch.setattr(verdict_export, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="needs matplotlib") as raised:
        check_verdict_export(str(tmp_path / "out.svg"))
    assert "phier[figures]" in raised.value.hint
    check_verdict_export(str(tmp_path / "out.html"))


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    verdict = some_verdict()
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(Failure, match="can't be written"):
        export_verdict(verdict, tmp_path / "out.csv", {})
