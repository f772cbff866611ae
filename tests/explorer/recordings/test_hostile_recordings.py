"""Recordings that no run makes are read, compared, exported and shown: what can not be is said, and no more happens."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from rich.console import Console

from explorer.cli.comparison_table import compared_object, print_compared
from explorer.recordings.comparison import compare_recordings
from explorer.recordings.export import export_recordings
from explorer.recordings.library import last_run_of
from explorer.sources.replay import ReplaySource
from explorer.state.layout import completed
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.branches import tree_lines
from probes.recording import read
from probes.recording.lines import encode
from probes.recording.runs import DEEPEST, MOST_COLUMNS, MOST_KINDS
from probes.schema.bounds import LONGEST_TEXT, LONGEST_TOKEN, MOST_MATRICES
from probes.schema.errors import PhierError
from probes.schema.header import MatrixReport
from probes.schema.recorded_table import RecordedTable
from tests.support.findings import sample_findings
from tests.support.hostile import chain, hostile
from tests.support.records import recorded_events, write_events
from tests.support.shell import phier
from tests.support.stage import Clock, at_rest, press, screen_text, settle

EVENTS = [*recorded_events(14, fork_at=5), *sample_findings(step=2)]
ACTING = "\x1b\x00\x07\x9b\u202e\u200b\ufeff"
"""Some of what a terminal would act upon."""
Lines = list[dict[str, Any]]


def plain() -> Lines:
    return [json.loads(encode(event, 1.0)) for event in recorded_events(6)]


def written(tmp_path: Path, lines: Lines | bytes) -> Path:
    path = tmp_path / "made.jsonl"
    raw = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("seed", range(30))
def test_whatever_a_file_holds_is_shown_or_said(tmp_path: Path, seed: int) -> None:
    sound = write_events(tmp_path / "sound.jsonl", recorded_events(6))
    path = written(tmp_path, hostile(EVENTS, seed))
    printed = io.StringIO()
    last_run_of(path)
    try:
        read(path)
        found = compare_recordings([sound, path])
        print_compared(found, Console(file=printed, width=120))
        msgspec.json.encode(compared_object(found))
        formats = ("csv", "jsonl", "parquet", "html")
        made = [export_recordings([sound, path], to, tmp_path / "out" / "x", every=to in formats[:3]) for to in formats]
    except PhierError:
        return
    assert not set(ACTING) & set(printed.getvalue())
    for one in made:
        assert all(target.parent == tmp_path / "out" for target in one.paths)
        assert not any(set(ACTING) & set(note) for note in one.notes)


@pytest.mark.parametrize("seed", range(2))
def test_figures_are_drawn_of_whatever_can_be_read(tmp_path: Path, seed: int) -> None:
    (drawn,) = export_recordings(
        [written(tmp_path, hostile(EVENTS, seed))], "svg", tmp_path / "x", figures=["sums"]
    ).paths
    ElementTree.fromstring(drawn.read_bytes())


def test_a_drawing_of_texts_with_control_characters_is_well_formed(tmp_path: Path) -> None:
    lines = plain()
    spoiled(lines[0]["header"], f"a{ACTING}\uffff<&]]>")
    lines[0]["header"]["prune"]["shape"] = f"24 of 30\x01 layers{ACTING}"
    (drawn,) = export_recordings([written(tmp_path, lines)], "svg", tmp_path / "x", figures=["sums"]).paths
    ElementTree.fromstring(drawn.read_bytes())
    assert "24 of 30␁ layers" in drawn.read_text("utf-8")


@pytest.mark.parametrize("seed", range(0, 20, 10))
async def test_the_explorer_opens_whatever_can_be_read(tmp_path: Path, seed: int) -> None:
    await shown(written(tmp_path, hostile(EVENTS, seed, changes=10)))


async def shown(path: Path, *keys: str) -> ExplorerApp:
    """The explorer on a recording, after it has been looked at from all sides."""
    app = ExplorerApp(ReplaySource(path), clock=Clock())
    async with app.run_test(size=(120, 36)) as pilot:
        await at_rest(app, pilot)
        for key in keys or ("escape", "home", "k", "b", "escape", "w", "escape", "f1", "escape", "space", "end"):
            await press(pilot, key)
            assert not set(ACTING) & set(screen_text(app)), key
        app.source.close()  # what still plays would be drawn on screens that are being taken down
        await settle(pilot)
    return app


def spoiled(node: Any, text: str) -> None:
    """Every string of a header becomes that text."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if isinstance(value, str) and key != "follow":
            node[key] = text
        elif isinstance(value, (dict, list)):
            spoiled(value, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[/bold][link=x]", id="markup"),
        pytest.param("\x1b]0;x\x07\u202e\x9b" + "\x00" * 50, id="controls"),
        pytest.param("x" * 10_000, id="long", marks=pytest.mark.slow),
    ],
)
async def test_every_text_of_a_header_is_data(tmp_path: Path, text: str) -> None:
    lines = plain()
    spoiled(lines[0]["header"], text)
    path = written(tmp_path, lines)
    header = read(path).last.header
    assert len(header.dense.name) <= LONGEST_TEXT
    assert header.settings.prompt == text, "what the models read is kept as it is"
    await shown(path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x7f", "␡"),
        ("\n", "↵"),
        ("\u202e", "⟨202E⟩"),
        ("é", "é"),
        ("x" * LONGEST_TEXT, "x" * LONGEST_TEXT),
        ("x" * (LONGEST_TEXT + 1), "x" * (LONGEST_TEXT - 1) + "…"),
        ("x" * (LONGEST_TEXT - 1) + '""', "x" * (LONGEST_TEXT - 1) + "…"),
    ],
)
def test_one_text_among_plain_ones_is_made_visible(tmp_path: Path, text: str, shown: str) -> None:
    lines = plain()
    report = lines[0]["header"]["prune"]
    report["matrices"][-1]["name"], report["notes"], report["dropped"] = text, ["plain", text], [text]
    read_report = read(written(tmp_path, lines)).last.header.prune
    assert read_report is not None
    assert read_report.matrices[-1].name == shown
    assert read_report.notes[1] == read_report.dropped[0] == shown


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("sum.first_split", 0),
        ("sum.first_split", -5),
        ("sum.first_split", 4),
        ("p.kl", 1e308),
        ("p.kl", -1e308),
        ("p.tv", 2.0),
        ("sum.survival", -1),
        ("h.cos", 3),
        ("z.l2", 1e200),
        ("taken.token_id", -1),
        ("taken.token", "x" * (LONGEST_TOKEN + 1)),
        ("top.0.rank_dense", 0),
        ("top.0.p", "much"),
    ],
)
def test_a_step_out_of_range_is_said_with_its_line_and_all_others_stay(
    tmp_path: Path, where: str, value: object
) -> None:
    lines = plain()
    at = next(place for place, line in enumerate(lines) if line.get("step") == 3)
    put(lines[at], where, value)
    session = read(written(tmp_path, lines))
    assert len(session.last.path) == 6
    assert session.last.missing == [3]
    assert session.notes[0].startswith(f"Line {at + 1} can't be read and is skipped: ")
    assert where.rsplit(".", 1)[1] in session.notes[0]


def put(node: Any, where: str, value: object) -> None:
    *tree_lines, last = where.split(".")
    for part in tree_lines:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[last] = value


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("header.dense.layers", 10**9),
        ("header.dense.layers", -1),
        ("header.prune.dropped", [" "]),
        ("header.prune.matrices.0.rows", -3),
        ("header.prune.zeroed", 10**30),
        ("run", -1),
    ],
)
def test_a_header_out_of_range_is_lost_and_its_steps_are_not(tmp_path: Path, where: str, value: object) -> None:
    lines = plain()
    put(lines[0], where, value)
    session = read(written(tmp_path, lines))
    assert session.last.headless
    assert len(session.last.path) == 6
    assert "Line 1" in session.notes[1]


def test_a_number_that_is_said_not_to_be_finite_is_not(tmp_path: Path) -> None:
    for value, path in (("inf", [6, 0]), ("1e308", [5, 1]), (7, [5, 1]), ("", [5, 1])):
        lines = plain()
        lines[-2]["nonfinite"] = {"p.kl": value}
        session = read(written(tmp_path, lines))
        assert [len(session.last.path), session.damaged] == path, value


async def test_a_first_split_that_is_still_to_come_is_none(tmp_path: Path) -> None:
    lines = plain()
    last = next(line for line in reversed(lines) if line["kind"] == "step")
    last["sum"]["first_split"] = 2**53
    await shown(written(tmp_path, lines), "escape", "g")


async def test_a_chain_of_branches_ends_where_no_person_forks_any_more(tmp_path: Path) -> None:
    path = written(tmp_path, [*plain(), *chain(3000)])
    session = read(path)
    assert len(session.last.branches) == 1 + DEEPEST
    assert len(list(tree_lines(session.last.branches))) == 1 + DEEPEST
    assert session.damaged == 3000 - 1 - DEEPEST
    await shown(path, "escape", "b", "escape")


@pytest.mark.parametrize(("branch", "parent"), [(1, 1), (1, 2), (0, 0), (0, 1)])
def test_a_branch_is_no_ancestor_of_its_own(tmp_path: Path, branch: int, parent: int) -> None:
    opened = {"kind": "branch", "run": 1, "opened": {"id": branch, "parent": parent, "step": 2}}
    session = read(written(tmp_path, [*plain(), opened]))
    assert (len(session.last.branches), session.damaged) == (1, 1)


def test_explanations_become_no_endless_number_of_tables_or_columns(tmp_path: Path) -> None:
    line = {"kind": "explained", "run": 1, "branch": 0, "step": 1}
    kinds = [line | {"what": f"kind{n}", "rows": [{"a": 1}]} for n in range(MOST_KINDS + 9)]
    columns = [line | {"what": "kind1", "rows": [{f"c{n}": 1, f"d{n}": 2}]} for n in range(MOST_COLUMNS)]
    session = read(written(tmp_path, [*plain(), *kinds, *columns]))
    found = [one.found for one in session.last.explanations if isinstance(one.found, RecordedTable)]
    assert {table.what for table in found} == {f"kind{n}" for n in range(MOST_KINDS)}
    assert len({key for table in found for row in table.rows for key in row}) <= MOST_COLUMNS


def test_the_name_of_a_file_is_data_too(tmp_path: Path) -> None:
    odd = f"a\x1b]0;x\x07\u202e{'b'}.jsonl"
    one, empty = tmp_path / odd, tmp_path / f"empty{odd}"
    one.write_bytes(b"".join(encode(event, 0.0) for event in EVENTS))
    empty.write_bytes(b"")
    for words in (
        ("recordings",),
        ("recordings", odd),
        ("compare", odd, odd),
        ("compare", odd, odd, "--json"),
        ("compare", odd, f"{odd}#9"),
        ("compare", odd, empty.name),
        ("compare", odd, f"no{odd}"),
        ("export", odd, "--to", "csv"),
        ("export", odd, "--to", "csv", "--out", f"{odd}/x"),
    ):
        done = phier(*words, folder=tmp_path)
        assert "Traceback" not in done.stderr, words
        assert not set(ACTING) & set(done.stdout + done.stderr), words


def test_a_name_of_bytes_that_are_no_text_is_marked_in_every_format(tmp_path: Path) -> None:
    sound = write_events(tmp_path / "sound.jsonl", EVENTS)
    path = tmp_path / os.fsdecode(b"a\xff\x9b.jsonl")
    path.write_bytes(b"".join(encode(event, 0.0) for event in EVENTS[1:]))  # without a header, it goes by its name
    done = phier("compare", str(path), str(sound), "--json", folder=tmp_path)
    assert json.loads(done.stdout)["recordings"][0]["label"] == "a⟨DCFF⟩⟨DC9B⟩", done.stderr
    for to in ("csv", "jsonl", "parquet", "html"):
        made = export_recordings([path, sound], to, tmp_path / "x").paths[0]
        assert "a⟨DCFF⟩⟨DC9B⟩".encode() in made.read_bytes()


def test_printed_json_shows_what_acts_as_its_number(tmp_path: Path) -> None:
    text = f"{ACTING}é字🌍\x7f"
    lines = plain()
    next(line for line in lines if line["kind"] == "step")["dense"]["token"] = text
    (steps, _) = export_recordings([written(tmp_path, lines)], "jsonl", tmp_path / "x").paths
    raw = steps.read_text("utf-8")
    assert not set(ACTING) & set(raw)
    assert "é字🌍" in raw
    assert text in {json.loads(line)["dense.token"] for line in raw.splitlines()}


def test_two_recordings_exported_together_are_called_after_both(tmp_path: Path) -> None:
    paths = [write_events(tmp_path / f"{name}.jsonl", recorded_events(4)) for name in ("a", "b")]
    alone = export_recordings(paths[:1], "csv", f"{tmp_path}/out/").paths
    before = [path.read_bytes() for path in alone]
    both = export_recordings(paths, "csv", f"{tmp_path}/out/").paths
    assert [path.name for path in both] == ["a+b.steps.csv", "a+b.tokens.csv"]
    assert [path.read_bytes() for path in alone] == before
    many = export_recordings(paths * 99, "csv", f"{tmp_path}/out/").paths
    assert [path.name for path in many] == ["a+197-more.steps.csv", "a+197-more.tokens.csv"]


def test_a_header_lists_no_endless_number_of_matrices(tmp_path: Path) -> None:
    for count, layers, lost in ((MOST_MATRICES, 30, False), (MOST_MATRICES + 1, 30, True), (MOST_MATRICES, 500, True)):
        lines = plain()
        lines[0]["header"]["dense"]["layers"] = layers
        one = lines[0]["header"]["prune"]["matrices"][0]
        lines[0]["header"]["prune"]["matrices"] = [one | {"name": f"m{n}", "layer": n % 9_999} for n in range(count)]
        assert read(written(tmp_path, lines)).last.headless is lost


def test_a_plan_of_many_layers_is_made_in_one_pass() -> None:
    matrices = [MatrixReport(f"m.{n}.q", n, "attn", 2, 2, 1) for n in range(9_000)]
    found = list(completed(matrices, 9_002))
    attention = [(one.name, one.layer) for one in found if one.sublayer == "attn"]
    assert attention[-2:] == [("m.9000.q", 9000), ("m.9001.q", 9001)]
    assert len(found) == 2 * 9_002
