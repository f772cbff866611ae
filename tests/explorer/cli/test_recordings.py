"""The commands on recordings, run as a person runs them: without torch, with exit codes and sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from explorer.cli.recordings_table import print_recordings
from explorer.recordings.library import ListedRun
from explorer.recordings.shipped import shipped_folder
from probes.schema.settings import RunSettings
from tests.support.records import recorded_events, write_events
from tests.support.shell import phier


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return (
        write_events(tmp_path / "mild.jsonl", recorded_events(20, setting="wanda:0.2")),
        write_events(tmp_path / "hard.jsonl", recorded_events(24, setting="wanda:0.9")),
    )


def test_sessions_lists_and_searches_what_the_folder_holds(two: tuple[Path, Path], tmp_path: Path) -> None:
    everything = phier("recordings", folder=tmp_path)
    assert everything.returncode == 0
    assert "mild.jsonl" in everything.stdout
    assert "hard.jsonl" in everything.stdout
    assert "collapse.jsonl" in everything.stdout
    found = phier("recordings", "wanda:0.9", folder=tmp_path).stdout
    assert "hard.jsonl" in found
    assert "mild.jsonl" not in found


def test_words_that_no_recording_has_are_answered_with_a_sentence(tmp_path: Path) -> None:
    done = phier("recordings", "zzz", "\x1b[31m", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'No recording matches "zzz ␛[31m".\n'


def test_compare_prints_a_table_or_one_object(two: tuple[Path, Path], tmp_path: Path) -> None:
    table = phier("compare", *two, folder=tmp_path)
    assert table.returncode == 0
    assert "wanda:0.2" in table.stdout
    assert "over 20 steps" in table.stdout
    found = json.loads(phier("compare", *two, "--json", folder=tmp_path).stdout)
    assert found["common_steps"] == 20
    assert [one["setting"] for one in found["recordings"]] == ["wanda:0.2", "wanda:0.9"]


@pytest.mark.parametrize("to", ["csv", "parquet", "jsonl", "svg", "png", "pdf", "html"])
def test_export_writes_beside_the_person_and_names_each_file(two: tuple[Path, Path], tmp_path: Path, to: str) -> None:
    figures = ("--figures", "sums", "--no-caption") if to in ("svg", "png", "pdf") else ()
    done = phier("export", *two, "--to", to, "--out", "out/x", *figures, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    named = [tmp_path / line for line in done.stdout.split()]
    assert sorted(named) == sorted((tmp_path / "out").iterdir())
    assert all(path.stat().st_size for path in named)


def test_bad_input_is_a_sentence_and_exit_code_2(two: tuple[Path, Path], tmp_path: Path) -> None:
    for words in (
        ("compare", two[0]),
        ("compare", two[0], tmp_path / "none.jsonl"),
        ("export", two[0], "--to", "xls"),
        ("export", tmp_path / "none.jsonl", "--to", "csv"),
        ("export", two[0], "--to", "svg", "--figures", "none"),
    ):
        done = phier(*words, folder=tmp_path)
        assert done.returncode == 2, words
        assert done.stderr.strip()
        assert "Traceback" not in done.stderr
        assert not done.stdout


@pytest.mark.parametrize(("width", "lines"), [(80, 5), (240, 1), (None, 1)], ids=["narrow", "wide", "no terminal"])
def test_a_prompt_is_cut_only_where_it_does_not_fit(width: int | None, lines: int) -> None:
    prompt, out = "a prompt of words " * 12, StringIO()
    header = replace(recorded_events(1)[0].header, settings=RunSettings(prompt))
    run = ListedRun(Path("run.jsonl"), datetime(2026, 1, 1), header, 1, 1, 4, 0.5, 0.5, 0.6, None)
    print_recordings([run], Console(file=out, width=width or 80, force_terminal=width is not None, color_system=None))
    printed = out.getvalue().splitlines()[0 if width == 80 else 1 :]
    assert len(printed) == lines
    assert (prompt.strip() in printed[-1]) == (width is None)
    assert "…" in out.getvalue() or width is None
    assert "a prompt of words a prompt of words" in out.getvalue()
    assert "run.jsonl" in printed[-1]
    assert width is None or all(cell_len(line) <= width for line in printed)


def test_the_shipped_recordings_are_found_from_anywhere(tmp_path: Path) -> None:
    done = phier("compare", *sorted(shipped_folder().glob("*.jsonl")), folder=tmp_path)
    assert done.returncode == 0
    assert "wanda:0.05" in done.stdout


def test_what_a_file_calls_its_models_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07[/bold][red]"
    paths = [
        write_events(tmp_path / f"{name}.jsonl", recorded_events(4, setting=evil + name)) for name in ("one", "two")
    ]
    for words in (("recordings", "one"), ("compare", *paths)):
        done = phier(*words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "\x07" not in done.stdout
        assert "[/bold][red]one" in done.stdout


def test_the_earlier_names_still_work(two: tuple[Path, Path], tmp_path: Path) -> None:
    earlier, now = phier("sessions", folder=tmp_path), phier("recordings", folder=tmp_path)
    assert earlier.returncode == now.returncode == 0
    assert earlier.stdout == now.stdout
    assert all(path.name in now.stdout for path in two)
    assert "sessions" not in phier("--help", folder=tmp_path).stdout
    drawn = []
    for option in ("--own", "--total"):
        done = phier(
            "export", two[0], "--to", "svg", "--figures", "sums", option, "--out", tmp_path / "x", folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
        drawn.append({path.name: path.read_bytes() for path in tmp_path.rglob("*.svg")})
    assert drawn[0]
    assert drawn[0] == drawn[1]
    done = phier("export", two[0], "--to", "csv", "--total", "--out", tmp_path / "x", folder=tmp_path)
    assert done.returncode == 2
    assert "--own" in done.stderr
