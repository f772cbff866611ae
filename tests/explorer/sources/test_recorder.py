"""The recorder keeps an event before it shows it, and loses none when the disk refuses it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.sources.recorder import RETRY_AFTER, RecordedSource, Recorder
from explorer.sources.source import Source
from explorer.sources.toy.source import ToySource
from probes.recording import RecordingWriter, read
from probes.schema.errors import BadInput, Failure, FailureKind
from probes.schema.events import Event, Failed, WorkProgressed
from probes.schema.explanation import Layers
from probes.schema.flat_step import to_jsonable
from probes.schema.prune_setting import parse
from probes.schema.requests import Cancel, Fork, Pause, Prune, Request, Restart, Run, Select, Step
from tests.support.findings import sample_findings
from tests.support.forked import with_torch, without_torch
from tests.support.records import of_run, recorded_events, records, settings

EVENTS = recorded_events(12, fork_at=5)
WRITER = """
import sys
from pathlib import Path
from explorer.sources.recorder import RecordedSource
from explorer.sources.toy.source import ToySource
from probes.schema.events import StepMeasured
from probes.schema.requests import Step
from tests.support.records import settings

def shown(event):
    if isinstance(event, StepMeasured):
        print(event.record.step, flush=True)

source = ToySource(settings(steps=100_000))
recorded = RecordedSource(source, Path(sys.argv[1]))
recorded.open(shown)
while True:
    recorded.ask(Step())
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """While this list holds a sentence, no disk takes a line."""
    why: list[str] = []
    real = RecordingWriter.append

    def append(self: RecordingWriter, lines: bytes) -> None:
        if why:
            raise Failure("Recording paused", why[0], "Make room.")
        real(self, lines)

    monkeypatch.setattr(RecordingWriter, "append", append)
    return why


def test_an_event_is_in_the_file_before_it_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    shown: list[Event] = []

    def show(event: Event) -> None:
        shown.append(event)
        assert [line.event for line in read(path).last.lines] == shown

    recorder = Recorder(show, path)
    for event in EVENTS:
        recorder(event)
    assert shown == EVENTS
    assert recorder.close() == ""


def test_no_file_is_made_before_a_run_starts(tmp_path: Path) -> None:
    shown: list[Event] = []
    recorder = Recorder(shown.append, folder=tmp_path)
    recorder(WorkProgressed("Loading"))
    recorder(Failed("Not found", "There is no such model."))
    assert recorder.close() == ""
    assert list(tmp_path.iterdir()) == []
    assert len(shown) == 2


def test_the_file_is_named_by_date_model_setting_and_context(tmp_path: Path) -> None:
    recorder = Recorder(lambda _event: None, folder=tmp_path / "sessions")
    recorder(EVENTS[0])
    assert recorder.path is not None
    assert recorder.path.parent == tmp_path / "sessions"
    assert recorder.path.name.endswith("_SmolLM2-135M-Instruct_wanda-0.5_free.jsonl")


def test_a_file_that_exists_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("mine")
    with pytest.raises(BadInput, match="never overwritten"):
        RecordedSource(ToySource(settings()), path)


def test_a_refusing_disk_is_told_once_and_loses_nothing(tmp_path: Path, refusing: list[str]) -> None:
    path, shown, clock = tmp_path / "run.jsonl", list[Event](), Clock()
    recorder = Recorder(shown.append, path, clock=clock)
    for event in EVENTS[:4]:
        recorder(event)
    refusing.append("No space left on device.")
    for event in EVENTS[4:8]:
        clock.now += 2 * RETRY_AFTER
        recorder(event)
    refused = Failed("Recording paused", "No space left on device.", "Make room.", FailureKind.NOT_RECORDED)
    assert shown == [*EVENTS[:5], refused, *EVENTS[5:8]]
    assert recorder.unsaved() == "4 lines are not recorded: No space left on device."
    assert [line.event for line in read(path).last.lines] == EVENTS[:4]
    refusing.clear()
    clock.now += 2 * RETRY_AFTER
    recorder(EVENTS[8])
    assert recorder.unsaved() == ""
    assert [line.event for line in read(path).last.lines] == EVENTS[:9]


def test_a_refusing_disk_is_not_asked_at_every_step(tmp_path: Path, refusing: list[str]) -> None:
    clock = Clock()
    recorder = Recorder(lambda _event: None, tmp_path / "run.jsonl", clock=clock)
    refusing.append("No space left on device.")
    recorder(EVENTS[0])
    refusing.clear()
    recorder(EVENTS[1])
    assert recorder.unsaved().startswith("2 lines are")
    clock.now = RETRY_AFTER
    recorder(EVENTS[2])
    assert recorder.unsaved() == ""


def test_a_line_that_is_being_written_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, said = Recorder(lambda _event: None, tmp_path / "run.jsonl"), list[str]()
    monkeypatch.setattr(RecordingWriter, "append", lambda _writer, _lines: said.append(recorder.unsaved()))
    recorder(EVENTS[0])
    assert said == [""]


def test_closing_tries_once_more(tmp_path: Path, refusing: list[str]) -> None:
    path = tmp_path / "run.jsonl"
    recorder = Recorder(lambda _event: None, path)
    refusing.append("No space left on device.")
    for event in EVENTS:
        recorder(event)
    assert recorder.close() == f"{len(EVENTS)} lines are not recorded: No space left on device."
    refusing.clear()
    assert recorder.close() == ""
    assert [line.event for line in read(path).last.lines] == EVENTS


def test_what_one_disk_refused_can_be_saved_on_another(tmp_path: Path, refusing: list[str]) -> None:
    first, second = tmp_path / "full.jsonl", tmp_path / "roomy.jsonl"
    recorder = Recorder(lambda _event: None, first)
    for event in EVENTS[:6]:
        recorder(event)
    refusing.append("No space left on device.")
    for event in EVENTS[6:9]:
        recorder(event)
    with pytest.raises(Failure):
        recorder.save(second)
    assert not second.exists()
    refusing.clear()
    recorder.save(second)
    assert recorder.path == second
    for event in EVENTS[9:]:
        recorder(event)
    assert recorder.close() == ""
    assert [line.event for line in read(second).last.lines] == EVENTS
    assert [line.event for line in read(first).last.lines] == EVENTS[:6]


@pytest.mark.parametrize("at", [5, len(EVENTS)])
def test_a_file_that_another_program_spoils_is_written_whole_beside_it(tmp_path: Path, at: int) -> None:
    path, told = tmp_path / "run.jsonl", list[Event]()
    recorder = Recorder(told.append, path)
    for place, event in enumerate(EVENTS):
        if place == at:
            path.write_text("")
        recorder(event)
    if at == len(EVENTS):
        path.write_text("")
    assert recorder.close() == ""
    assert path.read_text() == ""
    assert recorder.path == tmp_path / "run_2.jsonl"
    assert [line.event for line in read(recorder.path).last.lines] == EVENTS
    (moved,) = (event for event in told if isinstance(event, Failed))
    assert moved.title == "Recording moved"
    assert moved.message.startswith(f"{path} was cut by another program while it was recorded.")
    assert str(recorder.path) in moved.message


def test_two_threads_record_in_the_order_they_are_shown(tmp_path: Path) -> None:
    path, shown = tmp_path / "run.jsonl", list[Event]()
    recorder = Recorder(shown.append, path)
    recorder(EVENTS[0])
    threads = [
        threading.Thread(target=lambda name=name: [recorder(Failed(name, str(i))) for i in range(50)])
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line.event for line in read(path).last.lines] == shown
    assert len(shown) == 101


def test_a_recorded_source_asks_what_it_is_asked(tmp_path: Path) -> None:
    inner = ToySource(settings())
    shown: list[Event] = []
    source: Source = RecordedSource(inner, tmp_path / "run.jsonl")
    source.open(shown.append)
    requests: list[Request] = [
        Step(), Run(("steps=3",)), Pause(), Cancel(), Fork(1, dense=3), Select(0), Restart(settings(steps=3)),
        Prune(parse("wanda:0.2")),
    ]  # fmt: skip
    for request in requests:
        source.ask(request)
    source.close()
    assert [one.id for one in inner.asked] == [one.id for one in requests]
    assert source.live
    session = read(tmp_path / "run.jsonl")
    assert [line.event for run in session.runs for line in run.lines] == shown


@pytest.mark.parametrize("after", [1, 7, 30])
def test_a_kill_loses_nothing_that_was_shown(tmp_path: Path, after: int) -> None:
    path = tmp_path / "run.jsonl"
    with without_torch().start(WRITER, path, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        shown = 0
        while shown < after:
            shown = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            shown = int(line) if line.endswith(b"\n") else shown
        assert writer.wait() == -signal.SIGKILL
    session = read(path)
    assert session.damaged == 0
    assert len(session.last.path) - shown in (0, 1)
    assert session.last.path == records(recorded_events(len(session.last.path)))[: len(session.last.path)]


def test_a_kill_in_the_middle_of_a_real_run_loses_at_most_the_step_in_flight(tmp_path: Path) -> None:
    from tests.support.tiny import byte_tokenizer, save, tiny

    tokenizer = byte_tokenizer()
    folder = save(tmp_path / "tiny", tiny("llama", vocab_size=len(tokenizer), eos_token_id=None), tokenizer)
    path, run = tmp_path / "run.jsonl", "from explorer.cli.main import phier; phier()"
    options = ["--dense", str(folder), "--prune", "magnitude:0.5", "--prompt", "go", "--follow", "free"]
    options += ["--steps", "200", "--record", str(path), "--json"]
    with with_torch().start(run, "run", *options, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        shown = [running.stdout.readline() for _ in range(9)]
        running.send_signal(signal.SIGKILL)
        shown += [line for line in running.stdout if line.endswith(b"\n")]
        assert running.wait() == -signal.SIGKILL
    session = read(path)
    assert session.damaged == 0
    assert session.last.header.title == "magnitude:0.5"
    assert 0 <= len(session.last.path) - len(shown) <= 1
    assert [json.loads(line)["p"] for line in shown] == [
        to_jsonable(record)["p"] for record in session.last.path[: len(shown)]
    ]


def test_a_named_file_that_can_not_be_made_is_known_before_anything_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorder = Recorder(lambda _event: None, tmp_path / "file" / "below.jsonl")
    with pytest.raises(Failure):
        recorder.prepare()


def test_a_file_that_nothing_came_into_is_taken_away_again(tmp_path: Path) -> None:
    recorder = Recorder(lambda _event: None, tmp_path / "run.jsonl")
    recorder.prepare()
    assert (tmp_path / "run.jsonl").exists()
    assert recorder.close() == ""
    assert not (tmp_path / "run.jsonl").exists()


def test_what_the_disk_refused_is_rescued_to_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path / "own"))
    recorder = Recorder(lambda _event: None, tmp_path / "run.jsonl")
    recorder.prepare()
    append = RecordingWriter.append

    def full(self: RecordingWriter, line: bytes) -> None:
        if self.path.parent == tmp_path:
            raise Failure("Recording paused", "It is full.", "Make room.")
        append(self, line)

    monkeypatch.setattr(RecordingWriter, "append", full)
    for event in EVENTS:
        recorder(event)
    assert recorder.close()
    saved = recorder.rescue()
    assert saved is not None
    assert saved.parent == tmp_path / "own"
    sound = Recorder(lambda _event: None, tmp_path / "own" / "sound.jsonl")
    for event in EVENTS:
        sound(event)
    sound.close()
    assert read(saved).last.path == read(tmp_path / "own" / "sound.jsonl").last.path


def test_a_finding_is_recorded_once_and_only_when_it_is_final(tmp_path: Path) -> None:
    heard: list[Event] = []
    recorder = Recorder(heard.append, tmp_path / "run.jsonl")
    layers, *others = sample_findings()
    begun, *steps = recorded_events(4)
    events = [
        begun,
        *steps,
        replace(layers, final=False),
        layers,
        replace(layers, request=7),
        replace(layers, found=Layers(())),
        *others,
        replace(others[0], request=8),
        *of_run(2, [begun, layers]),
    ]
    for event in events:
        recorder(event)
    assert recorder.close() == ""
    assert heard == events, "all of them are shown"
    first, second = read(tmp_path / "run.jsonl").runs
    assert first.explanations == [layers, replace(layers, found=Layers(())), *others]
    assert second.explanations == [replace(layers, run=2)]
