"""The list of recordings tells of each what its last step says, whatever condition the files are in."""

from __future__ import annotations

import codecs
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from explorer.recordings.library import last_run_of, matching, recordings
from probes.recording import read
from probes.recording.lines import encode
from probes.schema.conversation import Turn
from probes.schema.events import Event, RunStarted, StepMeasured
from probes.schema.settings import RunSettings
from tests.support.formula_sweep import SETTINGS, some_sweep, write_sweep
from tests.support.records import layers, lines_of, of_run, recorded_events, records, write_events

FIXTURES = Path(__file__).parents[2] / "fixtures"


def dated(events: list[Event], when: str) -> list[Event]:
    return [replace(e, header=replace(e.header, started=when)) if isinstance(e, RunStarted) else e for e in events]


def test_a_recording_is_listed_with_what_its_last_step_says(tmp_path: Path) -> None:
    events = dated(recorded_events(40), "2026-02-03T10:20:30+00:00")
    one = last_run_of(write_events(tmp_path / "run.jsonl", events))
    last = records(events)[-1]
    assert one.when == datetime(2026, 2, 3, 10, 20, 30, tzinfo=UTC)
    assert (one.models, one.setting) == ("SmolLM2-135M-Instruct", "wanda:0.5")
    assert one.prompt.startswith("Natalia")
    assert (one.runs, one.steps) == (1, 40)
    assert (one.kl, one.kl_own) == (last.sum.kl_shared, last.sum.kl)
    assert (one.survival, one.first_split) == (last.sum.survival, last.sum.first_split)
    assert one.problem == ""


def test_the_last_run_of_several_is_the_one_listed(tmp_path: Path) -> None:
    second = of_run(2, recorded_events(5, setting="wanda:0.2"))
    events = [*recorded_events(9), *second]
    one = last_run_of(write_events(tmp_path / "run.jsonl", events))
    assert (one.runs, one.steps, one.setting) == (2, 5, "wanda:0.2")
    assert one.kl == read(one.path).last.path[-1].sum.kl_shared


@pytest.mark.parametrize("shown_last", [0, 1])
def test_a_forked_run_is_listed_with_the_path_that_was_shown_last(shown_last: int, tmp_path: Path) -> None:
    events = recorded_events(9, fork_at=3)
    path = write_events(tmp_path / "run.jsonl", events if shown_last == 0 else events[:-1])
    one, run = last_run_of(path), read(path).last
    assert run.branches.current == shown_last
    last = run.path[-1]
    assert one.steps == last.step == (9 if shown_last == 0 else 7)
    assert (one.kl, one.kl_own) == (last.sum.kl_shared, last.sum.kl)
    assert (one.survival, one.first_split) == (last.sum.survival, last.sum.first_split)


def test_a_recording_of_an_older_format_is_listed_like_any_other(tmp_path: Path) -> None:
    old, last = FIXTURES / "collapse_1.jsonl", read(FIXTURES / "collapse_1.jsonl").last.path[-1]
    joined = tmp_path / "joined.jsonl"
    joined.write_bytes(old.read_bytes() + b"".join(lines_of(recorded_events(5))) + old.read_bytes())
    for one in (last_run_of(old), last_run_of(joined)):
        assert (one.steps, one.kl, one.kl_own) == (last.step, last.sum.kl_shared, last.sum.kl)


def test_a_run_that_has_no_step_yet_is_listed_by_its_header(tmp_path: Path) -> None:
    one = last_run_of(write_events(tmp_path / "run.jsonl", recorded_events(5)[:1]))
    assert (one.steps, one.setting, one.problem) == (0, "wanda:0.5", "")


def test_a_cut_or_damaged_end_costs_only_itself(tmp_path: Path) -> None:
    raw = [encode(event, 0.0) for event in recorded_events(9) if isinstance(event, (RunStarted, StepMeasured))]
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(raw[:-1]) + b"\xff\x00{}\n" + raw[-1][:700])
    assert last_run_of(path).steps == 8


def test_the_last_step_is_found_behind_long_lines_of_another_kind(tmp_path: Path) -> None:
    events = [*recorded_events(6), *(layers(1, 6, count=400) for _ in range(20))]
    path = write_events(tmp_path / "run.jsonl", events)
    assert path.stat().st_size > 300_000
    assert last_run_of(path).steps == 6


@pytest.mark.parametrize("with_header", [True, False])
def test_a_run_is_listed_with_its_steps_however_much_was_explained_after_them(
    with_header: bool, tmp_path: Path
) -> None:
    events = recorded_events(6)
    path = tmp_path / "run.jsonl"
    explained = b"".join(lines_of([layers(1, 6, count=400)])) * 400
    path.write_bytes(b"".join(lines_of(events if with_header else events[1:])) + explained)
    assert len(explained) > 5 * 2**20
    assert last_run_of(path).steps == 6
    assert last_run_of(path).kl == records(events)[-1].sum.kl_shared


def test_a_lost_header_leaves_the_figures(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"{}\n" + b"".join(encode(event, 0.0) for event in recorded_events(6)[1:]))
    one = last_run_of(path)
    assert (one.steps, one.models) == (6, "unknown ⇄ unknown")


def test_a_byte_order_mark_hides_no_header(tmp_path: Path) -> None:
    path = write_events(tmp_path / "run.jsonl", recorded_events(5))
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert (last_run_of(path).setting, last_run_of(path).steps) == ("wanda:0.5", 5)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"Dear diary\n", "no line of a recorded run"), (b"\n" * 99, "no line of a recorded run")],
)
def test_what_is_no_recording_is_listed_as_such(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    assert problem in last_run_of(path).problem


def test_what_can_not_be_opened_is_listed_as_such(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    assert "not a file" in last_run_of(pipe).problem
    assert "can't be read" in last_run_of(tmp_path / "none.jsonl").problem


def test_a_folder_is_listed_newest_first(tmp_path: Path) -> None:
    for day in (3, 1, 2):
        write_events(tmp_path / f"{day}.jsonl", dated(recorded_events(3), f"2026-05-0{day}T00:00:00+00:00"))
    (tmp_path / "notes.txt").write_text("not listed")
    assert [one.path.stem for one in recordings(tmp_path, tmp_path / "none")] == ["3", "2", "1"]


def test_a_list_is_searched_by_all_that_is_shown_of_it(tmp_path: Path) -> None:
    for name, setting, seed in (("a", "wanda:0.5", 4), ("b", "magnitude:0.3", None)):
        events = dated(recorded_events(3, setting=setting, seed=seed), "2026-05-01T12:00:00+00:00")
        write_events(tmp_path / f"{name}.jsonl", events)
    found = recordings(tmp_path)
    for words, names in (
        ("", "ab"),
        ("wanda", "a"),
        ("MAGNITUDE smollm2", "b"),
        ("2026-05 natalia clips", "ab"),
        ("seed 4", "a"),
        ("greedy free", "b"),
        ("a.jsonl", "a"),
        ("wanda magnitude", ""),
    ):
        assert sorted(one.path.stem for one in matching(found, words)) == list(names), words


def test_turns_the_system_prompt_and_a_text_to_score_are_searched_too(tmp_path: Path) -> None:
    asked = RunSettings(
        "And now?", turns=(Turn("system", "Answer like a pirate."), Turn("user", "Where is Tortuga?")), begun="Arr"
    )
    events = [
        replace(event, header=replace(event.header, settings=asked)) if isinstance(event, RunStarted) else event
        for event in recorded_events(3)
    ]
    write_events(tmp_path / "a.jsonl", events)
    found = recordings(tmp_path)
    for words in ("pirate", "tortuga now", "arr"):
        assert matching(found, words) == found
    assert matching(found, "parrot") == []


def test_files_without_runs_are_listed_with_what_they_hold(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, some_sweep(SETTINGS[:2], done=5, errors=(2,)), files=True)
    one = last_run_of(path)
    assert (one.other, one.problem, one.setting) == ("sweep, 4 of 8 cells", "", "")
    assert one.models == "SmolLM2-135M-Instruct"
    assert matching([one], "sweep smollm") == [one]
    items = next(path.with_name("sweep.cells").glob("*.jsonl"))
    assert last_run_of(items).other == "results of items"
    path.write_bytes(path.read_bytes() + b'{"kind":"cell"}\n')
    assert "can't be read" in last_run_of(path).problem
