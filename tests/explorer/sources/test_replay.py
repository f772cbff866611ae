"""A recording plays as the run went: the same events, at once or step by step, and without torch."""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import pytest
from click.testing import CliRunner

from explorer.cli.options import ShellCommand, Typed, takes
from explorer.cli.read_options import run_settings
from explorer.sources.command_line import command_line
from explorer.sources.replay import LONGEST_WAIT, ReplaySource
from explorer.sources.source import Source
from explorer.state.view import Phase, View
from probes.recording.lines import Unreadable, decode, encode
from probes.recording.upgrade import FORMAT
from probes.schema.conversation import TemplateArg, Turn
from probes.schema.errors import FailureKind
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Event,
    Explained,
    Failed,
    PlaybackChanged,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
    WorkProgressed,
)
from probes.schema.findings import kind_of
from probes.schema.prompt_source import PromptSource
from probes.schema.prune_setting import parse
from probes.schema.requests import (
    Cancel,
    Explain,
    Fork,
    Pause,
    PlayAt,
    Prune,
    Restart,
    Run,
    Select,
    ShowRun,
    Step,
    ToEnd,
)
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.spec import PairSpec
from tests.support.findings import sample_findings
from tests.support.records import of_run, recorded_events, records, settings, write_events

Kind = TypeVar("Kind")
EVENTS = recorded_events(16, fork_at=6)


class Player:
    """A replay with everything it tells."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.told: list[Event] = []
        self.source = ReplaySource(path, **options)  # type: ignore[arg-type]  # as given
        self._news = threading.Condition()

    def take(self, event: Event) -> None:
        with self._news:
            self.told.append(event)
            self._news.notify_all()

    def wait(self, until: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(until, timeout=20), self.told[-3:]

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.told if isinstance(event, kind)]

    @property
    def steps(self) -> list[int]:
        return [event.record.step for event in self.of(StepMeasured)]

    def open(self) -> Player:
        self.source.open(self.take)
        return self.rest()

    def rest(self) -> Player:
        """Waits until everything asked is answered and nothing plays."""
        assert self.source.wait_idle(20), self.told[-3:]
        return self

    @property
    def playback(self) -> PlaybackChanged:
        return self.of(PlaybackChanged)[-1]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., Player]]:
    players: list[Player] = []

    def opened(events: list[Event] = EVENTS, **options: Any) -> Player:
        player = Player(write_events(tmp_path / f"{len(players)}.jsonl", events), **options)
        players.append(player)
        return player.open()

    yield opened
    for player in players:
        player.source.close()


Play = Callable[..., Player]


def test_opened_to_look_at_everything_is_there_at_once(play: Play) -> None:
    player = play()
    player.rest()
    told = [event for event in player.told if not isinstance(event, (WorkProgressed, PlaybackChanged, RunPaused))]
    assert told == [event for event in EVENTS if not isinstance(event, (RunPaused, RunResumed))]
    assert player.of(RunPaused) == [RunPaused(1, Why.STEPS, 16)]


def test_the_view_shows_a_replay_as_it_showed_the_run(play: Play) -> None:
    live, replayed = View(), View(live=False)
    for event in EVENTS:
        live.apply(event)
    player = play()
    player.rest()
    for event in player.told:
        replayed.apply(event)
    assert replayed.path == live.path
    assert [branch.id for branch in replayed.branches] == [branch.id for branch in live.branches]
    assert replayed.branches.current == live.branches.current
    assert replayed.summary == live.summary
    assert list(replayed.findings()) == list(live.findings())
    assert replayed.phase is Phase.PAUSED


def test_played_step_by_step_nothing_comes_unasked(play: Play) -> None:
    player = play(play=True).rest()
    assert player.steps == []
    for count in range(1, 4):
        player.source.ask(Step())
        assert player.steps == list(range(1, count + 1))


def test_a_run_plays_to_its_end_and_says_why_it_ended(play: Play) -> None:
    player = play(play=True, pace=1000.0)
    player.source.ask(Run())
    player.rest()
    assert [event.record for event in player.of(StepMeasured)] == records(EVENTS)
    [end] = player.of(RunPaused)
    assert end.why is Why.STEPS
    assert player.of(RunResumed) == [RunResumed(1)]


KILLED = [event for event in recorded_events(16) if not isinstance(event, RunPaused)]
NO_END = RunPaused(1, Why.OPEN, 16)


def test_a_recording_without_an_end_is_not_called_ended(play: Play) -> None:
    player = play(KILLED)
    player.rest()
    assert player.of(RunPaused) == [NO_END]


def test_a_recording_that_was_cut_within_a_line_is_said_to_be(tmp_path: Path) -> None:
    path = write_events(tmp_path / "cut.jsonl", KILLED)
    path.write_bytes(path.read_bytes()[:-9])
    player = Player(path).open()
    player.rest()
    assert player.of(RunPaused) == [RunPaused(1, Why.CUT, 15)]
    player.source.close()


def test_a_run_that_another_one_follows_is_not_still_being_written(tmp_path: Path) -> None:
    path = write_events(tmp_path / "two.jsonl", [*KILLED, *of_run(2, KILLED[:4])])
    player = Player(path, number=1).open()
    player.rest()
    assert player.of(RunPaused) == [RunPaused(1, Why.RECORDED, 16)]
    player.source.close()


@pytest.mark.parametrize("why", [Why.ASKED, Why.UNTIL])
def test_a_recording_that_ends_while_its_run_stood_still_is_paused(play: Play, why: Why) -> None:
    player = play([*KILLED, RunPaused(1, why)])
    player.rest()
    assert player.of(RunPaused) == [RunPaused(1, Why.RECORDED, 16)]


def with_pause(after: int, why: Why, more: int = 0) -> list[Event]:
    """Sixteen steps that were paused after one of them and then went on, without another word."""
    events: list[Event] = []
    for event in recorded_events(16):
        if not isinstance(event, (RunPaused, RunResumed)):
            events.append(event)
        if isinstance(event, StepMeasured) and event.record.step == after:
            events += [RunPaused(1, why, after, more), RunResumed(1)]
    return events


@pytest.mark.parametrize("why", [Why.STEPS, Why.ENDED, Why.INVALID, Why.UNTIL])
def test_why_a_run_was_paused_is_not_why_it_ends_where_steps_follow(play: Play, why: Why) -> None:
    player = play(with_pause(12, why, more=12))
    player.rest()
    assert player.of(RunPaused) == [NO_END]


def test_what_running_again_would_have_done_is_not_said_of_a_recording(play: Play) -> None:
    player = play(with_pause(16, Why.STEPS, more=16))
    player.rest()
    assert player.of(RunPaused) == [RunPaused(1, Why.STEPS, 16)]


def test_a_branch_ends_for_its_own_reason(play: Play) -> None:
    player = play()
    player.rest()
    player.source.ask(Select(1))
    player.source.ask(Step())
    assert player.of(RunPaused)[-1].why is Why.RECORDED, "only the first branch reached its limit"
    player.source.ask(Select(0))
    player.source.ask(Step())
    assert player.of(RunPaused)[-1].why is Why.STEPS


def test_what_was_told_after_the_last_step_is_told_when_it_has_played(play: Play) -> None:
    player = play(play=True, pace=1000.0)
    player.source.ask(Run())
    player.rest()
    assert [kind_of(event.found) for event in player.of(Explained)] == ["layers"]
    assert player.of(BranchSelected)[-1] == BranchSelected(1, 0)


def test_the_speed_of_measuring_is_the_median_of_what_the_steps_took(play: Play) -> None:
    took = {1: 60.0, 2: 0.25, 3: 0.25, 4: 0.125, 5: 0.25}
    timed = [replace(e, seconds=took[e.record.step]) if isinstance(e, StepMeasured) else e for e in recorded_events(5)]
    player = play(timed)
    assert (player.playback.speed, player.playback.measured) == (None, 4.0)
    untimed = [replace(e, seconds=0.0) if isinstance(e, StepMeasured) else e for e in timed]
    untimed_playback = play(untimed, pace=2.0).playback
    assert (untimed_playback.speed, untimed_playback.measured) == (2.0, math.inf)
    slow = [replace(e, seconds=3600.0) if isinstance(e, StepMeasured) else e for e in timed]
    assert play(slow).playback.measured == 1 / LONGEST_WAIT, "no step is waited for longer"


def test_it_plays_at_the_speed_at_which_the_steps_were_measured(play: Play) -> None:
    timed = [replace(e, seconds=0.06) if isinstance(e, StepMeasured) else e for e in recorded_events(5)]
    player = play(timed, play=True)
    assert player.source._until_next() == 0.06
    player.source.ask(PlayAt(20.0))
    assert player.source._until_next() == 0.05


def test_a_pause_stops_it_and_it_goes_on_from_there(play: Play) -> None:
    player = play(play=True, pace=20.0)
    player.source.ask(Run())
    player.wait(lambda: len(player.steps) >= 2)
    player.source.ask(Pause())
    stopped = len(player.steps)
    assert player.of(RunPaused) == [RunPaused(1, Why.ASKED, stopped)]
    player.rest()
    assert len(player.steps) == stopped
    player.source.ask(Step())
    assert player.steps == list(range(1, stopped + 2))


def test_it_runs_until_a_condition_is_met(play: Play) -> None:
    split = next(record.step for record in records(EVENTS) if record.split)
    player = play(play=True, pace=1000.0)
    player.source.ask(Run(("split",)))
    player.rest()
    assert player.steps[-1] == split
    assert player.of(RunPaused)[0].why is Why.UNTIL


def test_a_condition_that_is_none_is_said(play: Play) -> None:
    player = play(play=True)
    player.source.ask(Run(("kl>much",)))
    assert player.of(Failed)[-1].title == "Run until"
    assert player.steps == []


def test_at_the_end_run_plays_from_the_first_step_again(play: Play) -> None:
    player = play(pace=1000.0)
    player.rest()
    player.source.ask(Run())
    player.rest()
    assert [event.run for event in player.of(RunStarted)] == [1, 2]
    assert player.steps == 2 * [record.step for record in records(EVENTS)]
    assert {event.run for event in player.of(StepMeasured)[-20:]} == {2}


def test_at_the_end_a_step_says_that_there_is_none(play: Play) -> None:
    player = play(recorded_events(3))
    player.rest()
    player.source.ask(Step())
    assert len(player.of(RunPaused)) == 2
    assert player.steps == [1, 2, 3]


def test_a_loop_begins_again(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explorer.sources.replay.BETWEEN_ROUNDS", 0.01)
    player = play(recorded_events(3), play=True, pace=1000.0, loop=True)
    player.source.ask(Run())
    player.wait(lambda: len(player.of(RunStarted)) >= 3)
    player.source.ask(Pause())
    assert player.steps[:6] == [1, 2, 3, 1, 2, 3]


def test_the_rest_can_be_had_at_once(play: Play) -> None:
    player = play(play=True)
    player.source.ask(Step())
    player.source.ask(ToEnd())
    assert [event.record for event in player.of(StepMeasured)] == records(EVENTS)
    assert player.of(RunPaused)


def two_runs() -> list[Event]:
    second = of_run(2, recorded_events(4, setting="wanda:0.2"))
    return [*recorded_events(3), *second]


def test_of_several_runs_the_last_is_looked_at_and_all_are_played(play: Play) -> None:
    looked = play(two_runs())
    looked.rest()
    assert [event.header.title for event in looked.of(RunStarted)] == ["wanda:0.2"]
    looked.source.ask(ShowRun(1))
    assert [event.header.title for event in looked.of(RunStarted)] == ["wanda:0.2", "wanda:0.5"]
    assert looked.steps == [1, 2, 3, 4, 1, 2, 3]
    played = play(two_runs(), play=True, pace=1000.0)
    played.source.ask(Run())
    played.rest()
    assert [event.header.title for event in played.of(RunStarted)] == ["wanda:0.5", "wanda:0.2"]
    assert played.steps == [1, 2, 3, 1, 2, 3, 4]
    assert len(played.of(RunPaused)) == 1


def test_recorded_branches_can_be_chosen_among(play: Play) -> None:
    player = play()
    player.rest()
    player.source.ask(Select(1))
    assert player.told[-1] == BranchSelected(1, 1)
    player.source.ask(Select(7))
    assert player.of(Failed)[-1].title == "Branch"


def test_a_branch_that_is_looked_at_does_not_disturb_what_plays_next(play: Play) -> None:
    player = play(play=True)
    while not player.of(BranchOpened):
        player.source.ask(Step())
    player.source.ask(Select(0))
    player.source.ask(Step())
    view = View(live=False)
    for event in player.told:
        view.apply(event)
    assert view.branches.current == 1
    assert view.path == player.source._head.branches.path(1)
    player.source.ask(ToEnd())
    assert [event.record for event in player.of(StepMeasured)] == records(EVENTS)


@pytest.mark.parametrize(
    "ask",
    [
        lambda source: source.ask(Fork(3, dense=5)),
        lambda source: source.ask(Prune(parse("wanda:0.3"))),
        lambda source: source.ask(Restart(settings())),
    ],
    ids=["fork", "prune", "restart"],
)
def test_what_needs_the_models_is_refused_with_the_command_that_has_them(
    play: Play, ask: Callable[[Source], None]
) -> None:
    player = play()
    player.rest()
    before = len(player.told)
    ask(player.source)
    [failure] = player.told[before:]
    assert isinstance(failure, Failed)
    assert failure.kind is FailureKind.NEEDS_MODELS
    assert "needs the models" in failure.message
    assert "phier-tui --dense demo --prune wanda:0.5 --follow free --prompt" in failure.hint


def test_the_command_says_all_that_differs_from_the_defaults() -> None:
    start = EVENTS[0]
    assert isinstance(start, RunStarted)
    asked = RunSettings(
        "What's $HOME?",
        raw=True,
        follow=Follow.TEXT,
        text="a b",
        sampling=Sampling(0.7, 40, 0.9, 3),
        analysis_temperature=1.5,
    )
    header = replace(start.header, settings=asked, prune=None, pruned=replace(start.header.pruned, spec="my folder"))
    assert shlex.split(command_line(header))[1:] == [
        "--dense", "demo", "--pruned", "my folder", "--follow", "text", "--text", "a b", "--temperature", "0.7",
        "--top-k", "40", "--top-p", "0.9", "--seed", "3", "--analysis-temperature", "1.5", "--prompt", "What's $HOME?",
        "--raw",
    ]  # fmt: skip


def test_the_command_that_opens_the_models_again_has_every_turn() -> None:
    turns = (Turn("system", "Be brief"), Turn("user", "Hi"), Turn("assistant", "Hello = hi"))
    args = (TemplateArg("enable_thinking", False), TemplateArg("effort", "3"))
    said = RunSettings("Why?", turns=turns, begun="Because ", template_args=args, chat_template="short")
    (started,) = (event for event in recorded_events(1) if isinstance(event, RunStarted))
    words = shlex.split(command_line(replace(started.header, settings=said)))
    read: list[RunSettings] = []

    @click.command(cls=ShellCommand)
    @takes(PairSpec)
    @takes(RunSettings)
    @takes(PromptSource)
    def made_of(typed: Typed) -> None:
        read.append(run_settings(typed))

    assert CliRunner().invoke(made_of, words[1:]).exit_code == 0
    assert read == [said]


def test_explanations_are_told_where_they_were_computed(play: Play) -> None:
    player = play()
    player.rest()
    assert [(event.run, event.step, kind_of(event.found)) for event in player.of(Explained)] == [(1, 6, "layers")]


def test_what_was_recorded_explains_a_step_again_and_nothing_else_does(play: Play) -> None:
    findings = sample_findings()
    player = play([*recorded_events(5), *findings])
    player.rest()
    assert player.of(Explained) == findings
    player.told.clear()
    request = Explain(3)
    player.source.ask(request)
    assert player.of(Explained) == [findings[0], findings[1], findings[2], findings[4]]
    assert {event.request for event in player.told} == {request.id}
    player.source.ask(Explain(3, kinds=("swaps", "noise_floor"), level="matrix"))
    failed = player.of(Failed)[-1]
    assert failed.kind is FailureKind.NEEDS_MODELS
    assert "Of step 3, swaps, noise floor was not recorded" in failed.message
    player.told.clear()
    player.source.ask(Explain(1, through=5, kinds=("layers",), near=1))
    assert player.told == [findings[0]]
    player.source.ask(Explain(1, through=2, kinds=("layers",), near=1))
    assert [event.kind for event in player.of(Failed)] == [FailureKind.NEEDS_MODELS]
    player.source.ask(Explain(6))
    assert "the run has steps 1 to 5" in player.of(Failed)[-1].message


def test_what_can_not_be_read_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    raw = [encode(event, 0.0) for event in EVENTS]
    raw[4] = raw[4][: len(raw[4]) // 2] + b"\n"
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"".join(raw))
    player = Player(path).open()
    player.rest()
    with pytest.raises(Unreadable) as damage:
        decode(raw[4], FORMAT)
    assert player.of(Failed) == [
        Failed(
            "Some lines can't be read",
            f"Line 5 can't be read and is skipped: {damage.value}. Step 3 is missing.",
            "The rest is shown.",
            FailureKind.PARTLY_READ,
        )
    ]
    view = View(live=False)
    for event in player.told:
        view.apply(event)
    assert len(view.path) == 16
    assert view.path[2].missing
    player.source.close()


@pytest.mark.parametrize("name", ["none.jsonl", "other.txt"])
def test_a_file_that_is_no_recording_fails_with_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "other.txt").write_text("Dear diary\n")
    player = Player(tmp_path / name).open()
    assert len(player.of(Failed)) == 1
    player.source.ask(Step())
    player.source.ask(Run())
    player.source.ask(Pause())
    player.source.close()
    assert player.told == player.of(Failed)


def test_reading_a_long_recording_tells_how_far_it_is_and_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(write_events(tmp_path / "one.jsonl", EVENTS).read_bytes() * 60)
    player = Player(path)

    def cancel(event: Event) -> None:
        player.take(event)
        player.source.ask(Cancel())

    player.source.open(cancel)
    player.rest()
    [progress, failure] = player.told
    assert isinstance(progress, WorkProgressed)
    assert progress.done is not None
    assert 0 < progress.done < path.stat().st_size
    assert (progress.total, progress.unit) == (path.stat().st_size, "bytes")
    assert failure == Failed("Cancelled", "Reading long.jsonl was cancelled.", kind=FailureKind.CANCELLED)
    player.source.open(player.take)
    player.rest()
    assert player.source.recording is not None
    assert len(player.source.recording.runs) == 60
    player.source.close()


def test_closing_while_it_plays_ends_its_thread(play: Play) -> None:
    player = play(play=True, pace=0.5)
    player.source.ask(Run())
    player.source.close()
    assert player.source._reader is not None
    assert not player.source._reader.is_alive()


def test_a_replay_needs_no_torch(tmp_path: Path) -> None:
    path = write_events(tmp_path / "run.jsonl", EVENTS)
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from pathlib import Path; from explorer.sources.replay import ReplaySource\n"
        "from explorer.ui.app import ExplorerApp\n"
        f"told = []; source = ReplaySource(Path({str(path)!r})); source.open(told.append)\n"
        "assert source.wait_idle(30)\n"
        "source.close(); print(sum(hasattr(event, 'record') for event in told))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "21"
