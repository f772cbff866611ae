"""A results file and a sweep's file are exported like a recording, without a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars
import pytest

from explorer.recordings.export import EXPORT_FORMATS, export_recordings
from explorer.recordings.shipped import shipped_folder
from probes.recording import read
from probes.schema.errors import BadInput
from tests.support.formula_sweep import WANDA, some_sweep, write_sweep
from tests.support.records import recorded_events, write_events


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copy(shipped_folder() / "tour" / "tour.results.jsonl", tmp_path / "found.jsonl"))


@pytest.mark.parametrize("to", ["csv", "parquet", "jsonl"])
def test_the_tables_of_results_are_of_tasks_and_of_items(results: Path, tmp_path: Path, to: str) -> None:
    exported = export_recordings([results], to, f"{tmp_path}/out/")
    assert [path.name for path in exported.paths] == [f"found.verdict.{to}", f"found.items.{to}"]
    assert "margin of 2 points" in exported.notes[0]
    readers = {"csv": polars.read_csv, "parquet": polars.read_parquet, "jsonl": polars.read_ndjson}
    tasks, items = (readers[to](path, **({} if to == "parquet" else {"infer_schema_length": None}))
                    for path in exported.paths)  # fmt: skip
    assert tasks["task"].to_list() == ["facts", "labels", "documents", "answers"]
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    found = [line["found"] for line in lines if line["kind"] == "result"]
    assert items["item"].to_list() == [one["item"] for one in found]
    assert items["pruned.choice"].fill_null("").to_list() == [one["pruned"]["choice"] for one in found]
    assert items["spaces.p.kl"].to_list() == [one["spaces"]["p"]["kl"] for one in found]
    kl = items.filter(polars.col("task") == "answers")["generation.kl"].to_list()
    assert kl == [one["generation"]["kl"] for one in found if one["generation"]]
    assert "What is the capital of France?" in items["prompt"][0]
    assert items["answer"][0] == "Paris"
    assert not {"spaces", "options", "ranking", "generation"} & set(items.columns)


@pytest.mark.parametrize("to", ["svg", "png", "pdf", "html"])
def test_the_verdict_of_results_is_a_figure_or_a_page(results: Path, tmp_path: Path, to: str) -> None:
    [path] = export_recordings([results], to, tmp_path / "verdict").paths
    assert path == tmp_path / f"verdict.{to}"
    assert path.stat().st_size > 1000


def test_a_sweep_is_exported(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, some_sweep(WANDA, ("answers",)))
    [table] = export_recordings([path], "jsonl", f"{tmp_path}/").paths
    assert table.name == f"{path.stem}.cells.jsonl"
    assert len(table.read_text().splitlines()) == len(WANDA)
    [figure] = export_recordings([path], "svg", f"{tmp_path}/").paths
    assert figure.name == f"{path.stem}.svg"
    with pytest.raises(BadInput, match="is a sweep, which has no html page"):
        export_recordings([path], "html")


def test_what_is_for_recordings_alone_is_refused(results: Path, tmp_path: Path) -> None:
    recording = write_events(tmp_path / "run.jsonl", recorded_events(3))
    with pytest.raises(BadInput, match=r"found\.jsonl holds the results of items, not a recorded run"):
        export_recordings([recording, results], "csv")
    with pytest.raises(BadInput, match="and no runs"):
        export_recordings([f"{results}#2"], "csv")
    with pytest.raises(BadInput, match="are for recordings"):
        export_recordings([results], "csv", every=True)


def test_every_format_takes_results(results: Path, tmp_path: Path) -> None:
    for to in EXPORT_FORMATS:
        assert export_recordings([results], to, f"{tmp_path}/all/").paths


def test_read_says_what_another_file_of_this_program_holds(results: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds the results of items \(phier verdict\), not a recorded run"):
        read(results)
    with pytest.raises(BadInput, match=r"holds a sweep \(phier sweep\), not a recorded run"):
        read(write_sweep(tmp_path, some_sweep(WANDA, ("answers",))))
