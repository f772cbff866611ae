"""Going on from a recording: its models are what was recorded, give its figures again, and step on from the cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.sources.continued import ContinuedSource, spec_of
from explorer.sources.launcher import ModelLauncher
from explorer.sources.recorder import RecordedSource
from explorer.sources.replay import ReplaySource
from explorer.sources.source import Source
from explorer.ui.app import ExplorerApp
from explorer.words.pauses import pause_sentence
from probes.explain.step import explain
from probes.recording import read
from probes.recording.runs import unknown_header
from probes.schema.errors import BadInput, Failure, FailureKind
from probes.schema.events import Explained, Failed, RunPaused, RunStarted, StepMeasured, Why, WorkProgressed
from probes.schema.header import Calibration, ModelInfo, PruneReport, RunHeader
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.requests import Explain, Step
from probes.schema.settings import RunSettings
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.watch import WatchedGroup
from tests.support.launcher import FakeLauncher
from tests.support.live import INFO, SETTINGS, Listener, TinyPair, expected
from tests.support.stage import MIDDLE, Clock, at_rest, opened, press, record, screen_text

HEADER = RunHeader(INFO, INFO, None, SETTINGS, SETTINGS.prompt)
GIVEN = PairSpec(prune=parse("wanda:0.5"))


def given(**options: Any) -> PairSpec:
    return replace(GIVEN, load=LoadOptions(**options))


def continued(
    path: Sequence[StepRecord], header: RunHeader = HEADER, load: Callable[[], object] = TinyPair, **more: Any
) -> tuple[ContinuedSource, Listener]:
    heard = Listener()
    source = ContinuedSource(lambda _work: load(), header, path, **more)  # type: ignore[arg-type, return-value]
    source.open(heard)
    return source, heard


def test_the_recorded_steps_are_measured_again_and_the_next_ones_follow() -> None:
    source, heard = continued(expected(5))
    paused = heard.wait(RunPaused)
    assert paused.why is Why.CONTINUED
    assert pause_sentence(paused) == "5 steps measured again: all figures are identical to the recorded ones."
    assert heard.steps() == expected(5)
    source.ask(Step())
    heard.wait(StepMeasured, 6)
    assert heard.steps() == expected(6)
    assert not heard.of(Failed)
    source.close()


def test_watched_tokens_are_watched_on_and_their_figures_are_checked() -> None:
    settings = replace(SETTINGS, watch=(WatchedGroup("A", (5, 6)), WatchedGroup("B", (7,))))
    with TinyPair().lockstep(settings) as lockstep:
        path = [lockstep.step() for _ in range(4)]
    header = replace(HEADER, settings=settings)
    source, heard = continued(path[:3], header)
    assert "identical" in pause_sentence(heard.wait(RunPaused))
    source.ask(Step())
    heard.wait(StepMeasured, 4)
    assert heard.steps() == path
    own = path[1].own
    assert own is not None
    assert own.watched is not None
    group = replace(own.watched.groups[0], q=own.watched.groups[0].q + 0.25)
    watched = replace(own.watched, groups=(group, *own.watched.groups[1:]))
    _, heard = continued([path[0], replace(path[1], own=replace(own, watched=watched))], header)
    assert "watched.A.q of step 2" in heard.wait(Failed).message


def test_a_recorded_step_is_explained_once_its_models_are_loaded() -> None:
    source, heard = continued(expected(4))
    heard.wait(RunPaused)
    source.ask(Explain(3, kinds=("layers",)))
    event = heard.wait(Explained)
    assert (event.branch, event.step, event.final) == (0, 3, True)
    with TinyPair().lockstep(SETTINGS) as lockstep:
        for _ in range(4):
            lockstep.step()
        assert event.found == explain(lockstep, range(3, 4), ("layers",)).layers
    source.close()


def test_what_was_explained_is_taken_over_if_the_figures_agree() -> None:
    source, heard = continued(expected(4))
    heard.wait(RunPaused)
    source.ask(Explain(3, kinds=("layers",)))
    found = replace(heard.wait(Explained), run=7, branch=2)
    source.close()

    again, heard = continued(expected(4), found=[found])
    heard.wait(RunPaused)
    assert [(one.run, one.branch, one.step) for one in heard.of(Explained)] == [(1, 0, 3)]
    again.ask(Explain(3, kinds=("layers",)))
    assert heard.wait(Explained, 2).found is found.found, "nothing is computed again"
    again.close()

    other = [replace(one, shared=None) for one in expected(4)]
    third, heard = continued(other, found=[found])
    heard.wait(RunPaused)
    assert not heard.of(Explained), "models with other figures are explained anew"
    third.close()


def test_nothing_of_the_run_is_shown_before_it_is_verified() -> None:
    source, heard = continued(expected(3))
    heard.wait(RunPaused)
    kinds = [type(event) for event in heard.events]
    assert WorkProgressed in kinds[: kinds.index(RunStarted)]
    assert WorkProgressed not in kinds[kinds.index(RunStarted) :]
    source.close()


def test_models_with_other_figures_are_told_loudly_and_shown_as_they_are() -> None:
    source, heard = continued(expected(4), load=lambda: TinyPair(0.5))
    failure = heard.wait(Failed)
    assert failure.kind is FailureKind.OTHER_FIGURES
    assert "of step 1 was" in failure.message
    assert heard.steps() != expected(4)
    assert [r.taken and r.taken.token_id for r in heard.steps()] == [r.taken and r.taken.token_id for r in expected(4)]
    source.close()


def test_another_model_is_refused_and_nothing_begins() -> None:
    header = replace(HEADER, dense=replace(INFO, layers=4))
    source, heard = continued(expected(2), header)
    assert heard.wait(Failed).title == "Another model"
    assert not heard.of(RunStarted)
    source.close()


def test_loading_again_after_a_failure_begins_at_the_same_step() -> None:
    tries: list[int] = []

    def load() -> TinyPair:
        tries.append(1)
        if len(tries) == 1:
            raise Failure("Model not found", "The folder is gone.", "Put it back.")
        return TinyPair()

    source, heard = continued(expected(3), load=load)
    heard.wait(Failed)
    source.open(heard)
    heard.wait(RunPaused)
    assert heard.steps() == expected(3)
    source.close()


def test_before_the_first_step_there_is_nothing_to_verify() -> None:
    source, heard = continued([])
    assert pause_sentence(heard.wait(RunPaused)) == "There is no recorded step before the cursor."
    source.close()


# What has to be loaded.

HALF = PruneReport("wanda:0.5", 5, 10, calibration=Calibration("demo", 32, 128, 0, "c"))


def header(dense: ModelInfo = INFO, pruned: ModelInfo = INFO, prune: PruneReport | None = HALF) -> RunHeader:
    return RunHeader(dense, pruned, prune, RunSettings("go"), "go")


def test_a_twin_made_here_is_made_again_on_the_same_calibration() -> None:
    assert spec_of(header(), GIVEN) == PairSpec(
        dense="tiny",
        prune=parse("wanda:0.5"),
        calibration=CalibrationSpec("", 32, 128, 0),
        load=LoadOptions("cpu", "float32"),
    )
    text = replace(HALF, calibration=Calibration("notes.txt", 8, 64, None, "c"))
    assert spec_of(header(prune=text), GIVEN).calibration == CalibrationSpec("notes.txt", 8, 64, None)


def test_a_second_model_made_elsewhere_is_loaded_at_its_recorded_commit() -> None:
    other = replace(INFO, spec="owner/pruned", revision="abc")
    wanted = spec_of(header(pruned=other, prune=None), GIVEN)
    assert (wanted.pruned, wanted.prune) == ("owner/pruned@abc", None)


def test_the_place_is_the_recorded_one_unless_another_is_asked_for() -> None:
    assert spec_of(header(replace(INFO, device="cuda:1")), GIVEN).load.device == "cuda:1"
    assert spec_of(header(replace(INFO, device="cuda:1")), given(device="cpu")).load.device == "cpu"
    spread = spec_of(header(replace(INFO, device="cuda:0,cuda:1")), GIVEN)
    assert (spread.load.device, spread.load.device_map) == ("auto", "auto")
    mapped = spec_of(header(), given(device_map="balanced"))
    assert (mapped.load.device, mapped.load.device_map) == ("auto", "balanced")


def test_what_is_allowed_is_never_taken_from_the_recording() -> None:
    assert not spec_of(header(), GIVEN).load.trust_remote_code
    assert spec_of(header(), given(trust_remote_code=True, allow_pickle=True)).load.allow_pickle


def test_a_recording_that_names_no_models_is_refused() -> None:
    with pytest.raises(BadInput, match="does not say which models"):
        spec_of(unknown_header(), GIVEN)


# On the screen.


class Refusing(ContinuedSource):
    """Models that are not there."""

    def __init__(self) -> None:
        def load(*_: object) -> object:
            raise BadInput("Model not found", "There is no folder pruned-42.", "Put it back.")

        super().__init__(load, HEADER, [])  # type: ignore[arg-type]


async def test_escape_goes_back_to_the_recording_where_its_models_are_gone(tmp_path: Path) -> None:
    record(tmp_path / "half.jsonl", "wanda:0.5", 30)
    made: list[Source] = []

    def go_on(_header: RunHeader, _path: Sequence[StepRecord], _found: object) -> Source:
        made.append(Refusing())
        return made[-1]

    app = ExplorerApp(ReplaySource(tmp_path / "half.jsonl"), launcher=FakeLauncher(go_on=go_on), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await opened(app, pilot)
        await press(pilot, "home", "right", "right", "m", "c")
        await at_rest(app, pilot)
        shown = screen_text(app)
        assert "There is no folder pruned-42." in shown
        assert "Esc goes back to the recording" in shown
        await press(pilot, "escape")
        assert app.source is not made[0]
        assert (app.view.cursor, app.view.newest) == (3, 30)
        await press(pilot, "right")
        assert app.view.cursor == 4


async def test_a_recording_without_models_says_so_and_stays(tmp_path: Path) -> None:
    record(tmp_path / "half.jsonl", "wanda:0.5", 5)

    def go_on(_header: RunHeader, _path: Sequence[StepRecord], _found: object) -> Source:
        raise BadInput("Models unknown", "The recording does not say which models.", "Begin a new run.")

    app = ExplorerApp(ReplaySource(tmp_path / "half.jsonl"), launcher=FakeLauncher(go_on=go_on), clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await opened(app, pilot)
        await press(pilot, "m")
        assert "does not say which models" in screen_text(app)
        assert app.view.newest == 5


# Recorded in its turn.


def test_a_run_gone_on_from_is_a_recording_of_its_own(tmp_path: Path) -> None:
    heard = Listener()
    inner = ContinuedSource(lambda _work: TinyPair(), HEADER, expected(3))  # type: ignore[arg-type, return-value]
    source = RecordedSource(inner, tmp_path / "on.jsonl")
    source.open(heard)
    heard.wait(RunPaused)
    source.ask(Step())
    heard.wait(StepMeasured, 4)
    source.close()
    assert read(tmp_path / "on.jsonl").last.path == expected(4)


def test_only_the_first_run_takes_the_named_file(tmp_path: Path) -> None:
    models = ModelLauncher(GIVEN, SETTINGS, tmp_path / "mine.jsonl")
    first, second = models.begin(), models.begin()
    assert isinstance(first, RecordedSource)
    assert isinstance(second, RecordedSource)
    assert models.unsaved() == ""
    first.recorder(RunStarted(1, HEADER))
    assert first.recorder.path == tmp_path / "mine.jsonl"
    first.close()
