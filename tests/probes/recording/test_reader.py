"""Files are read as they are: cut, damaged, hostile or from the future. What can be read is given, the rest said."""

from __future__ import annotations

import codecs
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probes.recording import read
from probes.recording import reader as reader_module
from probes.recording import runs as runs_module
from probes.recording.upgrade import FORMAT
from probes.schema.branches import Branch
from probes.schema.errors import BadInput
from probes.schema.events import BranchOpened, Event, RunPaused, RunStarted, StepMeasured
from probes.schema.record import StepRecord
from probes.schema.recorded_table import RecordedTable
from probes.schema.summary import summarise
from tests.support.records import RECORDS, layers, lines_of, of_run, recorded_events, records, write_events

FIXTURE = Path(__file__).parents[2] / "fixtures" / "recording_1.jsonl"


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return recorded_events(24, fork_at=9)


@pytest.fixture
def file(tmp_path: Path, events: list[Event]) -> Path:
    return write_events(tmp_path / "run.jsonl", events)


def written(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "made.jsonl"
    path.write_bytes(raw)
    return path


def test_a_sound_file_comes_back_whole(file: Path, events: list[Event]) -> None:
    session = read(file)
    assert session.notes == []
    (run,) = session.runs
    assert [line.event for line in run.lines] == events
    assert [line.at for line in run.lines] == [index * 0.5 for index in range(len(events))]
    assert run.path == records(events)[:24]
    assert [branch.id for branch in run.branches] == [0, 1]
    assert run.branches.path(1) == records(events)[:8] + records(events)[24:]
    assert run.explanations == [layers(1, 9)]
    assert set(run.seconds.values()) == {0.1}
    assert run.steps == 29


def test_random_records_come_back_in_order(tmp_path: Path) -> None:
    start = recorded_events(1)[0]

    @settings(max_examples=30, deadline=None)
    @given(st.lists(RECORDS, max_size=5))
    def round_trip(made: list[StepRecord]) -> None:
        split = [replace(record, sum=replace(record.sum, first_split=record.sum.first_split and 1)) for record in made]
        steps = [replace(record, step=index + 1) for index, record in enumerate(split)]
        session = read(write_events(tmp_path / "r.jsonl", [start, *(StepMeasured(1, 0, step) for step in steps)]))
        assert repr(session.last.path) == repr(steps)
        assert session.notes == []

    round_trip()


def test_one_file_holds_several_runs(tmp_path: Path) -> None:
    first, second = recorded_events(6), recorded_events(4, setting="wanda:0.2")
    second = of_run(2, second)
    third = RunStarted(3, second[0].header)
    session = read(write_events(tmp_path / "s.jsonl", [*first, *second, third]))
    assert [run.number for run in session.runs] == [1, 2, 3]
    assert [run.header.title for run in session.runs] == ["wanda:0.5", "wanda:0.2", "wanda:0.2"]
    assert [len(run.path) for run in session.runs] == [6, 4, 0]
    assert session.last is session.runs[1], "the last run with steps"


def test_files_joined_end_to_end_are_several_runs(tmp_path: Path, file: Path) -> None:
    session = read(written(tmp_path, file.read_bytes() * 2))
    assert [run.steps for run in session.runs] == [29, 29]
    assert session.notes == []


def test_a_cut_at_any_byte_costs_the_line_it_falls_in(tmp_path: Path, events: list[Event]) -> None:
    raw = b"".join(lines_of(events[:12]))
    path = tmp_path / "cut.jsonl"
    for end in range(len(raw) - 1024, len(raw)):
        path.write_bytes(raw[:end])
        session = read(path)
        # A line without its end of line still counts where it is whole.
        whole = raw[: end + 1].count(b"\n") if raw[end : end + 1] == b"\n" else raw[:end].count(b"\n")
        assert [line.event for line in session.last.lines] == events[:whole], f"cut at {end}"
        partial = whole == raw[:end].count(b"\n") and not raw[:end].endswith(b"\n")
        assert session.cut == partial
        assert len(session.notes) == partial


def test_a_damaged_line_leaves_an_empty_step_and_all_others_as_they_were(tmp_path: Path, events: list[Event]) -> None:
    raw = lines_of(events)
    at = next(i for i, event in enumerate(events) if isinstance(event, StepMeasured) and event.record.step == 7)
    raw[at] = raw[at].replace(b'"pruned"', b'"pru#ed', 1)
    session = read(written(tmp_path, b"".join(raw)))
    run = session.last
    intact = records(events)[:24]
    assert run.path[:6] + run.path[7:] == intact[:6] + intact[7:]
    assert run.path[6].missing
    assert run.path[6].sum == intact[5].sum
    assert run.missing == [7]
    assert session.notes == [
        "Line 9 can't be read and is skipped: JSON is malformed: expected ':' (byte 159).",
        "Step 7 is missing.",
    ]
    assert summarise(run.path).compared == summarise(intact).compared - 1


def test_steps_are_not_invented_beyond_the_lines_that_were_lost(tmp_path: Path, events: list[Event]) -> None:
    start, *_ = events
    far = replace(records(events)[0], step=10**15)
    session = read(write_events(tmp_path / "far.jsonl", [start, StepMeasured(1, 0, far)]))
    assert session.last.path == []
    assert session.damaged == 1


def test_steps_of_a_branch_whose_opening_is_lost_are_counted_not_misplaced(tmp_path: Path, events: list[Event]) -> None:
    session = read(write_events(tmp_path / "b.jsonl", [e for e in events if not isinstance(e, BranchOpened)]))
    assert session.last.path == records(events)[:24]
    assert session.damaged == 5


def test_without_its_header_a_run_still_has_its_steps(tmp_path: Path, events: list[Event]) -> None:
    session = read(written(tmp_path, b'{"kind":"header","fo\n' + b"".join(lines_of(events)[1:])))
    assert session.last.path == records(events)[:24]
    assert session.last.header.dense.name == "unknown"
    assert session.notes[0] == "The header can't be read, so the models are not known."


def test_a_run_whose_header_is_lost_knows_it(tmp_path: Path, events: list[Event]) -> None:
    lost = read(written(tmp_path, b"".join(lines_of(events)[1:])))
    assert lost.last.headless
    assert not read(written(tmp_path, b"".join(lines_of(events)))).last.headless


def test_a_byte_order_mark_costs_nothing(tmp_path: Path, file: Path, events: list[Event]) -> None:
    marked = codecs.BOM_UTF8 + file.read_bytes()
    session = read(written(tmp_path, marked))
    assert [line.event for line in session.last.lines] == events
    assert session.notes == []
    joined = read(written(tmp_path, marked * 2))
    assert [run.steps for run in joined.runs] == [29, 29]
    assert joined.notes == []


def test_a_run_of_the_next_format_is_read_as_far_as_it_is_understood(tmp_path: Path, events: list[Event]) -> None:
    raw = lines_of(events[:6])
    header = json.loads(raw[0]) | {"format": FORMAT + 1}
    raw[0] = json.dumps(header).encode() + b"\n"
    raw.insert(3, b'{"kind":"hologram","run":1}\n')
    session = read(written(tmp_path, b"".join(raw)))
    assert session.last.path == records(events)[:4]
    assert session.notes == [
        f"The recording is in format {FORMAT + 1}, of a newer version of phier. This version reads format "
        f"{FORMAT} and shows what it knows.",
        "1 line of a kind that this version does not know (hologram).",
    ]


def test_other_line_ends_and_empty_lines_mean_nothing(tmp_path: Path, events: list[Event]) -> None:
    raw = b"\r\n\r\n".join(line.strip() for line in lines_of(events))
    session = read(written(tmp_path, raw))
    assert session.last.path == records(events)[:24]
    assert session.notes == []


def test_the_format_that_is_frozen_here_still_reads() -> None:
    session = read(FIXTURE)
    assert (session.format, session.notes) == (1, [])
    run = session.last
    assert run.header.dense.name == "SmolLM2-135M-Instruct"
    assert run.header.title == "wanda:0.5"
    assert run.header.settings.prompt.startswith("Natalia")
    assert len(run.path) == 12
    assert [branch.label for branch in run.branches] == ["", "“ /” forced at 4"]
    assert run.path[2].own is not None
    assert run.path[2].own.p.kl == 0.03847089077632236
    assert run.path[4].own is not None
    assert run.path[4].own.p.kl == float("inf")
    assert run.path[-1].sum.survival == 0.2576890959922883
    table = run.explanations[0].found
    assert isinstance(table, RecordedTable)
    assert [row["layer"] for row in table.rows] == [0, 1, 2]
    assert isinstance(run.lines[-1].event, RunPaused)


# Hostile files ------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_random_damage_loses_no_step_before_it(tmp_path: Path, draw: random.Random) -> None:
    raw = bytearray(b"".join(lines_of(EVENTS)))
    places = sorted(draw.randrange(len(raw)) for _ in range(draw.randint(1, 12)))
    before = raw[: places[0]].count(b"\n")
    for place in reversed(places):
        match draw.randrange(4):
            case 0:
                raw[place] = draw.randrange(256)
            case 1:
                del raw[place : place + draw.randrange(1, 3000)]
            case 2:
                raw[place:place] = draw.randbytes(draw.randrange(1, 300))
            case 3:
                raw[place:place] = raw[max(0, place - draw.randrange(1, 5000)) : place]
    path = written(tmp_path, bytes(raw))
    try:
        session = read(path)
    except BadInput:
        assert before == 0
        return
    if before:
        assert [line.event for line in session.runs[0].lines[:before]] == EVENTS[:before]
    for run in session.runs:
        for branch in run.branches:
            path_steps = [record.step for record in run.branches.path(branch.id)]
            assert path_steps == list(range(1, len(path_steps) + 1))


EVENTS = recorded_events(6, fork_at=3)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_random_bytes_are_no_recording(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BadInput, match="Not a recording"):
        read(written(tmp_path, raw))


def test_an_endless_line_is_passed_over_without_being_held(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LONGEST_LINE", 50_000)
    raw = lines_of(events[:6])
    raw.insert(3, b"[" * 170_000 + b"\n")
    raw.insert(3, b'{"kind":"step","x":"' + b"y" * 50_000 + b'"}\n')
    session = read(written(tmp_path, b"".join(raw)))
    assert session.last.path == records(events)[:4]
    assert session.damaged == 2


def test_a_large_file_that_is_no_recording_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(BadInput, match="Not a recording"):
        read(path)


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, title in ((pipe, "Not a file"), (tmp_path, "Not a file"), (tmp_path / "none", "No such file")):
        with pytest.raises(BadInput, match=title):
            read(path)


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"a,b\n1,2\n", b'{"kind":"aura"}\n', b'{"kind":"header","run'])
def test_a_file_of_something_else_is_refused_with_a_sentence(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BadInput, match="Not a recording"):
        read(written(tmp_path, raw))


HEADER = b'{"kind":"header","format":1,"run":1,"header":{'


@pytest.mark.parametrize("raw", [HEADER, HEADER[:5], codecs.BOM_UTF8 + HEADER])
def test_a_recording_that_was_cut_off_within_its_first_line_is_told_so(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BadInput, match="was cut off within its first line"):
        read(written(tmp_path, raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x7fELF\x02\x01\x01\x00\x80\xff",
        random.Random(1).randbytes(500).replace(b"\n", b""),
        codecs.BOM_UTF16_LE + HEADER.decode().encode("utf-16-le"),
        codecs.BOM_UTF8,
        b"Dear diary",
        b'{"name": "package"}',
        b"Dear diary\n" + HEADER,
    ],
    ids=["program", "garbage", "UTF-16", "mark alone", "text", "other JSON", "text before"],
)
def test_what_never_was_a_recording_is_not_called_cut_off(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BadInput, match="has no line of a recorded run"):
        read(written(tmp_path, raw))


def test_reading_needs_no_torch(file: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from pathlib import Path; from probes.recording import read, RecordingWriter\n"
        f"print(read(Path({str(file)!r})).last.steps)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "29"


def test_a_short_line_can_not_ask_for_endless_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "MOST_SHARED", 50)
    forks = [BranchOpened(1, Branch(number, 0, 11)) for number in range(1, 9)]
    session = read(write_events(tmp_path / "forks.jsonl", [*recorded_events(12), *forks]))
    assert len(session.last.branches) == 1 + 5
    assert session.damaged == 3


@pytest.mark.parametrize("step", [0, -(10**18), 14, 10**18])
def test_a_branch_that_leaves_where_its_parent_never_was_is_passed_over(tmp_path: Path, step: int) -> None:
    session = read(write_events(tmp_path / "b.jsonl", [*recorded_events(12), BranchOpened(1, Branch(1, 0, step))]))
    assert len(session.last.branches) == 1
    assert session.damaged == 1
