"""Tables are tidy, keep every digit and every odd number, and are read back by the libraries people use."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import polars
import pytest

from explorer.recordings.export import export_recordings
from explorer.recordings.export.several import names_of
from explorer.recordings.export.table_files import to_csv, to_parquet
from explorer.recordings.export.tidy_table import ColumnKind, ExportTable, TableColumn
from explorer.sources.toy.step import Accidents
from probes.recording import read
from probes.schema.errors import BadInput, Failure
from probes.schema.events import Explained, StepMeasured
from probes.schema.noise_floor import Noise, NoiseFloor
from probes.schema.part_ranking import RankedPart, Ranking
from probes.schema.recorded_table import RecordedTable
from probes.schema.repair import Gain, GivenBack, Repair
from probes.schema.settings import Follow
from tests.support.findings import sample_findings
from tests.support.records import HOSTILE, layers, recorded_events, records, write_events


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A run that forks at step 5 and is shown on its first branch again, with layer rows of that step."""
    return write_events(tmp_path / "run.jsonl", recorded_events(24, fork_at=5, accidents=Accidents(infinite=7)))


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


def number(field: str) -> float | None:
    return float(field) if field else None


def test_one_row_a_step_with_the_records_own_names(recording: Path, tmp_path: Path) -> None:
    done = export_recordings([recording], "csv", tmp_path / "out" / "x.csv")
    assert [path.name for path in done.paths] == ["x.steps.csv", "x.tokens.csv", "x.layers.csv"]
    path = records(recorded_events(24, accidents=Accidents(infinite=7)))
    rows = lines(done.paths[0])
    assert [int(row["step"]) for row in rows] == [record.step for record in path]
    for row, record in zip(rows, path, strict=True):
        assert float(row["sum.kl"]) == record.sum.kl
        assert row["same_context"] == str(record.same_context).lower()
        own, shared = record.own and record.own.p.kl, record.shared and record.shared.p.kl
        assert number(row["p.kl"]) == own
        assert number(row["shared.p.kl"]) == (None if record.same_context else shared)
        assert number(row["shared.kl"]) == shared
        assert (row["setting"], row["run"], row["branch"]) == ("wanda:0.5", "1", "0")
    assert rows[6]["p.kl"] == "inf"
    assert rows[6]["p.kl_estimate"] == "NaN"


def test_one_row_a_step_and_token_for_each_context(recording: Path, tmp_path: Path) -> None:
    export_recordings([recording], "csv", tmp_path / "x")
    path = records(recorded_events(24, accidents=Accidents(infinite=7)))
    expected = [
        (str(r.step), context, str(token.token_id), token.kl_share)
        for r in path
        for context, one in (("own", None if r.same_context else r.own), ("shared", r.shared))
        if one is not None
        for token in one.top
    ]
    rows = lines(tmp_path / "x.tokens.csv")
    assert [(row["step"], row["context"], row["token_id"], float(row["kl_share"])) for row in rows] == expected
    assert {"own", "shared"} == {row["context"] for row in rows}


def test_one_row_a_step_context_and_watched_group(tmp_path: Path) -> None:
    watch = 'A=" and", " half" | "\\u001b[31m"'
    recording = write_events(tmp_path / "run.jsonl", recorded_events(24, watch=watch))
    assert "x.watched.csv" in [path.name for path in export_recordings([recording], "csv", tmp_path / "x").paths]
    expected = [
        (str(r.step), context, group.label, " ".join(map(str, group.tokens)), group.q, one.watched.kl)
        for r in records(recorded_events(24, watch=watch))
        for context, one in (("own", None if r.same_context else r.own), ("shared", r.shared))
        if one is not None and one.watched is not None
        for group in one.watched.groups
    ]
    rows = lines(tmp_path / "x.watched.csv")
    names = ("step", "context", "label", "tokens")
    shown = [(*(row[name] for name in names), float(row["q"]), float(row["kl"])) for row in rows]
    assert shown == expected
    assert {"own", "shared"} == {row["context"] for row in rows}


def test_one_row_a_step_and_layer(recording: Path, tmp_path: Path) -> None:
    export_recordings([recording], "csv", tmp_path / "x")
    rows = lines(tmp_path / "x.layers.csv")
    table = layers(1, 5).found
    assert isinstance(table, RecordedTable)
    given = table.rows
    assert [int(row["layer"]) for row in rows] == [row["layer"] for row in given]
    assert [float(row["h.cos"]) for row in rows] == [row["h.cos"] for row in given]
    assert {row["step"] for row in rows} == {"5"}


def test_every_branch_is_there_when_asked_for_and_each_step_once(recording: Path, tmp_path: Path) -> None:
    export_recordings([recording], "csv", tmp_path / "x", every=True)
    rows = lines(tmp_path / "x.steps.csv")
    places = [(int(row["branch"]), int(row["step"])) for row in rows]
    assert places == [(0, step) for step in range(1, 25)] + [(1, step) for step in range(5, 10)]


def test_steps_before_a_fork_belong_to_the_branch_that_measured_them(tmp_path: Path) -> None:
    events = recorded_events(12, fork_at=5)[:-1]
    export_recordings([write_events(tmp_path / "run.jsonl", events)], "csv", tmp_path / "x")
    rows = lines(tmp_path / "x.steps.csv")
    assert [int(row["branch"]) for row in rows] == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert [int(row["step"]) for row in rows] == list(range(1, 10))


def test_several_recordings_go_into_the_same_tables(recording: Path, tmp_path: Path) -> None:
    other = write_events(tmp_path / "other.jsonl", recorded_events(10, setting="wanda:0.3"))
    export_recordings([recording, other], "csv", tmp_path / "x")
    rows = lines(tmp_path / "x.steps.csv")
    assert [row["recording"] for row in rows] == ["run"] * 24 + ["other"] * 10
    assert {row["setting"] for row in rows} == {"wanda:0.5", "wanda:0.3"}


def test_recordings_of_one_file_name_are_told_apart_in_every_table(tmp_path: Path) -> None:
    paths = []
    for folder in ("d1", "d2"):
        (tmp_path / folder).mkdir()
        paths.append(write_events(tmp_path / folder / "again.jsonl", recorded_events(9, fork_at=5)))
    export_recordings(paths, "csv", tmp_path / "x", every=True)
    for name in ("steps", "tokens", "layers"):
        rows = lines(tmp_path / f"x.{name}.csv")
        assert {row["recording"] for row in rows} == {"d1/again", "d2/again"}
    places = [(row["recording"], row["run"], row["branch"], row["step"]) for row in lines(tmp_path / "x.steps.csv")]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.jsonl", "b.jsonl"], ["a", "b"]),
        (["d1/a.jsonl", "d2/a.jsonl", "d1/b.jsonl"], ["d1/a", "d2/a", "b"]),
        (["x/d/a.jsonl", "y/d/a.jsonl", "e/a.jsonl"], ["x/d/a", "y/d/a", "e/a"]),
        (["d/a.jsonl", "d/a.txt"], ["a.jsonl", "a.txt"]),
        (["d/a.jsonl", "d/e/../a.jsonl"], ["a (1)", "a (2)"]),
    ],
)
def test_a_name_has_as_much_of_the_folders_as_it_takes(paths: list[str], names: list[str]) -> None:
    assert names_of([Path(path) for path in paths]) == names


def test_steps_say_how_they_were_run(recording: Path, tmp_path: Path) -> None:
    other = write_events(tmp_path / "other.jsonl", recorded_events(10, follow=Follow.DENSE, seed=2**64 - 1))
    for to in ("csv", "parquet"):
        export_recordings([recording, other], to, tmp_path / "x")
    first, *_, last = lines(tmp_path / "x.steps.csv")
    assert (first["follow"], first["temperature"], first["analysis_t"]) == ("free", "0.0", "1.0")
    assert (last["follow"], last["temperature"], last["seed"]) == ("dense", "0.8", str(2**64 - 1))
    header = read(recording).last.header
    assert first["dense_model"] == header.dense.name
    assert first["prompt"] == f"sha256:{hashlib.sha256(header.prompt_text.encode()).hexdigest()[:12]}"
    assert polars.read_parquet(tmp_path / "x.steps.parquet")["seed"].to_list() == [0] * 24 + [2**64 - 1] * 10


def test_a_csv_file_is_what_pythons_own_writer_makes_but_for_the_spelling_of_numbers() -> None:
    numbers = (0.1, -0.0, 1e-9, 5e-324, 1.7e308, 2 / 3, None, math.inf, -math.inf)
    wholes = (0, -1, 10**30, 2**64, None, 7)
    texts = (*HOSTILE, "", "a,b", 'say "x"', "null", None)
    count = 12_345
    columns = [
        TableColumn('a "name", quoted', ColumnKind.TEXT, [texts[place % len(texts)] for place in range(count)]),
        TableColumn("number", ColumnKind.NUMBER, [numbers[place % len(numbers)] for place in range(count)]),
        TableColumn("whole", ColumnKind.WHOLE, [wholes[place % len(wholes)] for place in range(count)]),
    ]
    table, out = ExportTable("x", columns), io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([[one.name for one in columns], *table.rows()])
    first, *expected = csv.reader(io.StringIO(out.getvalue(), newline=""))
    named, *found = csv.reader(io.StringIO(to_csv(table).decode(), newline=""))
    assert named == first
    assert [(a, b and float(b), c) for a, b, c in found] == [(a, b and float(b), c) for a, b, c in expected]


@pytest.mark.parametrize("name", ["steps", "tokens", "layers"])
def test_polars_reads_the_same_from_all_three_formats(recording: Path, tmp_path: Path, name: str) -> None:
    for to in ("csv", "parquet", "jsonl"):
        export_recordings([recording], to, tmp_path / "x")
    parquet = polars.read_parquet(tmp_path / f"x.{name}.parquet")
    table = polars.read_csv(tmp_path / f"x.{name}.csv", schema=parquet.schema)
    assert table.equals(parquet)
    objects = [json.loads(line) for line in (tmp_path / f"x.{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    for row, found in zip(objects, parquet.iter_rows(named=True), strict=True):
        odd = {key: float(text) for key, text in row.pop("nonfinite", {}).items()}
        assert repr({**row, **odd}) == repr(found)


def test_polars_finds_the_types_by_itself(recording: Path, tmp_path: Path) -> None:
    export_recordings([recording], "csv", tmp_path / "x")
    table = polars.read_csv(tmp_path / "x.steps.csv", infer_schema_length=None)
    assert table["p.kl"].dtype == table["p.kl_estimate"].dtype == polars.Float64
    assert table["p.kl"][6] == math.inf
    assert math.isnan(table["p.kl_estimate"][6])
    assert table["agree"].dtype == polars.Boolean
    assert table["dense.token_id"].dtype == polars.Int64


def test_what_a_model_wrote_comes_back_as_it_was(tmp_path: Path) -> None:
    events = []
    for event in recorded_events(len(HOSTILE)):
        if isinstance(event, StepMeasured) and event.record.dense is not None:
            token = HOSTILE[event.record.step - 1]
            event = replace(event, record=replace(event.record, dense=replace(event.record.dense, token=token)))
        events.append(event)
    path = write_events(tmp_path / "run.jsonl", events)
    for to in ("csv", "parquet"):
        export_recordings([path], to, tmp_path / "x")
    assert [row["dense.token"] for row in lines(tmp_path / "x.steps.csv")] == list(HOSTILE)
    assert polars.read_parquet(tmp_path / "x.steps.parquet")["dense.token"].to_list() == list(HOSTILE)


def test_a_recording_is_never_written_over(recording: Path, tmp_path: Path) -> None:
    before = recording.read_bytes()
    taken = tmp_path / "y.steps.jsonl"
    recording.rename(taken)
    with pytest.raises(BadInput, match="is the file to export itself"):
        export_recordings([taken], "jsonl", tmp_path / "y")
    assert taken.read_bytes() == before


def test_files_stand_where_asked_and_nothing_is_left_beside_them(recording: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    export_recordings([recording], "csv", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["run.layers.csv", "run.steps.csv", "run.tokens.csv"]


def test_what_cannot_be_written_or_is_no_format_is_said(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'xls' is not a format"):
        export_recordings([recording], "xls", tmp_path)
    with pytest.raises(BadInput, match="No recording"):
        export_recordings([], "csv", tmp_path)
    with pytest.raises(Failure, match="can't be written"):
        export_recordings([recording], "csv", recording / "x.csv")
    empty = write_events(tmp_path / "empty.jsonl", recorded_events(4)[:1])
    with pytest.raises(BadInput, match="holds no step"):
        export_recordings([empty], "csv", tmp_path)


def test_parquet_without_its_library_is_a_sentence(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(BadInput, match=r"phier\[tables\]"):
        export_recordings([recording], "parquet", tmp_path / "x")
    assert not list(tmp_path.glob("x*"))


def test_a_number_that_parquet_can_not_hold_is_named() -> None:
    table = ExportTable("steps", [TableColumn("dense.token_id", ColumnKind.WHOLE, [1, 10**30])])
    with pytest.raises(BadInput, match=r"dense\.token_id"):
        to_parquet(table)


@pytest.mark.parametrize("what", ["a/b", "../x", "", "steps", "tokens", "x" * 5000, "CON", "nul\x00", ".x", "heal.csv"])
def test_a_kind_of_rows_is_no_file_name_unless_it_can_be_one(tmp_path: Path, what: str) -> None:
    rows = [Explained(1, 0, 1, RecordedTable(kind, ({"layer": 0, "what": 7},))) for kind in (what, "heal")]
    path = write_events(tmp_path / "run.jsonl", [*recorded_events(4), *rows])
    found = export_recordings([path], "csv", tmp_path / "out" / "x").paths
    assert [path.name for path in found] == ["x.steps.csv", "x.tokens.csv", "x.explained-1.csv", "x.heal.csv"]
    odd, plain = (path.read_text().splitlines() for path in found[2:])
    assert odd[0] == "recording,setting,run,branch,step,what,layer,row.what"
    assert plain[0] == "recording,setting,run,branch,step,layer,what"


def test_what_explains_a_step_has_a_table_of_its_own_kind(tmp_path: Path) -> None:
    floor = NoiseFloor(8, (Noise("1 thread", {"p.kl": 1e-6, "h.cos": 1e-7}),), {}, "float32")
    about_the_run = [Explained(1, 0, 0, floor), Explained(1, 0, 0, Ranking((RankedPart("mlp", 2, 0.1),)))]
    given = [GivenBack(2, "mlp", "", 500, 0.1)]
    gain = Gain(2, 0.9, 0.1, 0.5, 1.0)
    repair = Repair("sublayer", 0.1, None, True, "dense", tuple(given), 0, 500, 900, gain, None, "", 7)
    events = [*sample_findings(), *about_the_run, Explained(1, 0, 2, repair, through=3), *sample_findings()]
    path = write_events(tmp_path / "run.jsonl", [*recorded_events(4), *events])
    export_recordings([path], "csv", tmp_path / "x")
    found = {one.name.split(".")[1]: lines(one) for one in tmp_path.glob("x.*.csv")}
    counts = {name: len(rows) for name, rows in found.items() if name not in ("steps", "tokens")}
    assert counts == {
        "layers": 6, "heal": 6, "damage": 6, "swaps": 1, "split": 1, "split_parts": 7, "quadrants": 1, "positions": 1,
        "fork": 2, "noise_floor": 2, "importance": 1, "repair": 1, "given_back": 1,
    }  # fmt: skip
    assert {row["step"] for name in ("layers", "heal", "split") for row in found[name]} == {"3"}
    assert [(row["layer"], row["sublayer"]) for row in found["layers"][:3]] == [
        ("0", "attn"),
        ("0", "mlp"),
        ("1", "attn"),
    ]
    assert [row["same_input.p.kl"] for row in found["layers"]] == ["0.0", "0.0", "0.2", "0.2", "0.4", "0.4"]
    assert found["layers"][-1]["accumulated.p.kl"] == "inf"
    assert found["layers"][0]["lens_dense.token"] == " a"
    assert [float(row["kl_drop"]) for row in found["heal"][:2]] == pytest.approx([0.3, 0.15])
    assert (found["heal"][0]["level"], found["swaps"][0]["additivity"]) == ("sublayer", "1.2")
    assert (found["quadrants"][0]["blame"], found["positions"][0]["token"]) == ("memory", " x")
    assert (found["split"][0]["verdict"], found["split"][0]["a.token"]) == ("confident flip", " a")
    assert [row["forced"] for row in found["fork"]] == ["dense_into_pruned", "pruned_into_dense"]
    assert [(row["figure"], row["step"]) for row in found["noise_floor"]] == [("p.kl", ""), ("h.cos", "")]
    assert (found["repair"][0]["step"], found["repair"][0]["through"], found["repair"][0]["span.kl_after"]) == (
        "2", "3", "0.1",
    )  # fmt: skip
    for to in ("jsonl", "parquet"):
        export_recordings([path], to, tmp_path / to)
