"""What is written is on the disk at once and stays: through a kill, a full disk, a deleted file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from probes.recording import RecordingWriter, read, recordings_folder
from probes.recording import writer as writer_module
from probes.recording.copy import Copy
from probes.recording.folder import new_path
from probes.recording.lines import encode
from probes.recording.writer import Spoiled
from probes.schema.errors import BadInput, Failure
from probes.schema.events import RunStarted
from tests.support.programs import SKIPPED
from tests.support.records import recorded_events, records

EVENTS = recorded_events(12)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 kB: room for a few steps."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"{SKIPPED}a disk that fills up: mounting one needs root ({made.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_every_event_is_in_the_file_before_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.jsonl"
    with RecordingWriter(path) as writer:
        for count, event in enumerate(EVENTS, 1):
            writer.write(event)
            assert [line.event for line in read(path).last.lines] == EVENTS[:count]


def test_every_event_is_brought_to_the_disk_unless_a_wait_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(writer_module, "_to_disk", synced.append)
    now = iter(range(1000))
    with RecordingWriter(tmp_path / "each.jsonl") as writer:
        for event in EVENTS[:6]:
            writer.write(event)
        assert len(synced) == 6
    synced.clear()
    with RecordingWriter(tmp_path / "some.jsonl", sync_every=6.0, clock=lambda: float(next(now))) as writer:
        for event in EVENTS[:6]:  # the clock is read twice an event
            writer.write(event)
        assert len(synced) == 2
    assert len(synced) == 3, "closing brings the rest to the disk"


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("mine")
    with pytest.raises(BadInput, match="never overwritten"):
        RecordingWriter(path)
    assert path.read_text() == "mine"


def test_a_place_where_nothing_can_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="can't be written"):
        RecordingWriter(tmp_path / "file" / "run.jsonl")


def test_a_full_disk_is_said_and_costs_no_earlier_line(small_disk: Path) -> None:
    path = small_disk / "run.jsonl"
    writer = RecordingWriter(path)
    kept = 0
    with pytest.raises(Failure, match="No space left"):  # noqa: PT012 - how many fit is the disk's to say
        for event in EVENTS:
            writer.write(event)
            kept += 1
    assert 3 < kept < len(EVENTS)
    session = read(path)
    assert session.notes == []
    assert [line.event for line in session.last.lines] == EVENTS[:kept]
    subprocess.run(["mount", "-o", "remount,size=400k", str(small_disk)], check=True)
    for event in EVENTS[kept:]:
        writer.write(event)
    writer.close()
    assert [line.event for line in read(path).last.lines] == EVENTS


def test_a_torn_line_that_could_not_be_taken_back_is_taken_back_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    writer = RecordingWriter(path)
    writer.write(EVENTS[0])
    real = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 2000:
            raise OSError(5, "Input/output error")
        return real(file, data[:2000])

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", half)
        broken.setattr(os, "ftruncate", lambda *_: half(0, b""))
        with pytest.raises(Failure, match="Input/output error"):
            writer.write(EVENTS[2])
    assert read(path).cut
    writer.write(EVENTS[3])
    assert [line.event for line in read(path).last.lines] == [EVENTS[0]], "step 2 has no place without step 1"
    assert read(path).damaged == 1
    assert not read(path).cut


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"mine now")


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"and more\n")


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize(
    ("accident", "what"),
    [
        (Path.unlink, "deleted"),
        (emptied, "cut"),
        (shortened, "cut"),
        (overwritten, "written to"),
        (appended, "written to"),
        (replaced, "replaced by another file"),
    ],
)
def test_what_another_program_does_to_the_file_is_noticed(
    tmp_path: Path, accident: Callable[[Path], None], what: str
) -> None:
    path = tmp_path / "run.jsonl"
    writer = RecordingWriter(path)
    for event in EVENTS[:4]:
        writer.write(event)
    accident(path)
    after = path.read_bytes() if path.exists() else None
    for _ in range(2):
        with pytest.raises(Spoiled, match=f"was {what}"):
            writer.write(EVENTS[4])
    writer.close()
    assert (path.read_bytes() if path.exists() else None) == after, "what is another's is left alone"


def test_a_copy_gives_back_what_was_added_at_any_time() -> None:
    copy, added = Copy(), b""
    for event in EVENTS:
        line = encode(event, 0.0)
        copy.add(line)
        added += line
        assert b"".join(copy.lines()) == added


def test_recordings_go_to_the_data_folder_or_to_the_one_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("PHIER_RECORDINGS", "PHIER_SESSIONS"):
        monkeypatch.delenv(variable, raising=False)
    assert recordings_folder().parts[-2:] == ("phier", "sessions")
    monkeypatch.setenv("PHIER_SESSIONS", str(tmp_path))
    assert recordings_folder() == tmp_path
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path / "new"))
    assert recordings_folder() == tmp_path / "new"


def test_a_name_tells_when_and_what_and_is_never_taken(tmp_path: Path) -> None:
    start = EVENTS[0]
    assert isinstance(start, RunStarted)
    now = datetime(2026, 3, 1, 9, 5, 7)
    names = []
    for _ in range(3):
        path = new_path(tmp_path, start.header, now)
        path.touch(exist_ok=False)
        names.append(path.name)
    stem = "2026-03-01_09-05-07_SmolLM2-135M-Instruct_wanda-0.5_free"
    assert names == [f"{stem}.jsonl", f"{stem}_2.jsonl", f"{stem}_3.jsonl"]


def test_a_step_takes_at_most_ten_kilobytes(tmp_path: Path) -> None:
    assert len(records(EVENTS)) == 12
    path = tmp_path / "run.jsonl"
    with RecordingWriter(path) as writer:
        for event in EVENTS:
            writer.write(event)
    steps = [line for line in path.read_bytes().splitlines() if line.startswith(b'{"kind":"step"')]
    assert len(steps) == 12
    assert max(map(len, steps)) < 10_000
