"""The view: events in, what the screens show out."""

from __future__ import annotations

import dataclasses

import pytest

from explorer.sources.toy.source import LOADING, ToySource
from explorer.sources.toy.step import Accidents
from explorer.state.view import Phase, View
from explorer.ui.widgets.status import work_text
from probes.schema.branches import Branch
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Explained,
    Failed,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
    WorkProgressed,
)
from probes.schema.explanation import Layers, Swaps
from probes.schema.requests import Fork, Pause, Restart, Run, Select
from probes.schema.settings import Follow
from probes.schema.summary import Summary, summarise
from tests.support.stage import Clock, scripted


def viewed(source: ToySource, steps: int = 0) -> View:
    view = View(clock=Clock())
    source.open(view.apply)
    source.advance(steps)
    return view


def test_a_view_without_events_is_starting() -> None:
    assert View().phase is Phase.STARTING


def test_work_before_a_run_is_told_with_speed_and_time_left() -> None:
    view = View(clock=Clock())
    view.apply(WorkProgressed("Downloading", 10, 100, "bytes"))
    assert view.phase is Phase.WORKING
    assert view.work is not None
    assert view.work.rate is None
    view.apply(WorkProgressed("Downloading", 12, 100, "bytes"))
    assert view.work is not None
    assert view.work.rate == pytest.approx(20)
    assert view.work.left is None, "the first moments of a download do not say how long it takes"
    assert "/s" in work_text(view.work)
    for done in range(14, 92, 2):
        view.apply(WorkProgressed("Downloading", done, 100, "bytes"))
    assert view.work.rate == pytest.approx(20)
    assert view.work.left == pytest.approx(0.5)
    assert view.work.share == 0.9


def test_a_slow_beginning_is_forgotten() -> None:
    clock = Clock()
    view = View(clock=clock)
    view.apply(WorkProgressed("Downloading", 0, 1000, "bytes"))
    clock.now += 60  # waiting for the first byte
    for done in range(1, 401):
        view.apply(WorkProgressed("Downloading", done, 1000, "bytes"))
    assert view.work is not None
    assert view.work.left == pytest.approx(60, rel=0.05), "ten bytes a second"


def test_work_that_says_nothing_says_how_long_it_has_taken() -> None:
    clock = Clock()
    view = View(clock=clock)
    view.apply(WorkProgressed("Converting"))
    assert view.work is not None
    assert work_text(view.work, view.working_for) == ""
    clock.now += 25
    assert work_text(view.work, view.working_for) == "25 s so far"
    view.apply(WorkProgressed("Converting", 296, 296, "tensors"))
    clock.now += 25
    assert work_text(view.work, view.working_for) == "296 of 296 tensors, 50 s so far"


def test_finished_work_has_no_speed_and_no_time_left() -> None:
    view = View(clock=Clock())
    for done in (10, 296):
        view.apply(WorkProgressed("Converting", done, 296, "bytes"))
    assert view.work is not None
    assert view.work.left is None
    assert work_text(view.work) == "296 B of 296 B"


def test_another_task_starts_its_own_speed() -> None:
    view = View(clock=Clock())
    view.apply(WorkProgressed("Downloading", 10, 100, "bytes"))
    view.apply(WorkProgressed("Downloading", 30, 100, "bytes"))
    view.apply(WorkProgressed("Loading", 1, 30, "layers"))
    assert view.work is not None
    assert view.work.rate is None


def test_work_of_unknown_length_has_no_share_and_no_time_left() -> None:
    view = View(clock=Clock())
    view.apply(WorkProgressed("Loading"))
    assert view.work is not None
    assert view.work.share is None
    assert view.work.left is None


def test_a_failure_before_any_run_is_the_phase_and_after_a_run_leaves_it_standing() -> None:
    view = View()
    view.apply(Failed("Model not found", "There is none."))
    assert view.phase is Phase.FAILED
    view = viewed(scripted(), 3)
    view.apply(Failed("Out of memory", "No room."))
    assert view.phase is Phase.PAUSED
    assert view.newest == 3


def test_a_run_goes_from_ready_over_running_to_paused() -> None:
    source = scripted()
    view = viewed(source)
    assert view.phase is Phase.READY
    source.ask(Run())
    assert view.phase is Phase.RUNNING
    source.advance(2)
    source.ask(Pause())
    assert view.phase is Phase.PAUSED
    assert view.pause is not None
    assert view.pause.why is Why.ASKED


def test_finished_loading_leaves_no_work() -> None:
    assert viewed(ToySource(loading=LOADING)).work is None


def test_the_cursor_follows_the_newest_step_until_it_is_moved() -> None:
    source = scripted()
    view = viewed(source, 10)
    assert (view.cursor, view.following, view.behind) == (10, True, 0)
    view.move(-3)
    source.advance(2)
    assert (view.cursor, view.following, view.behind) == (7, False, 5)
    view.follow_newest()
    assert (view.cursor, view.behind) == (12, 0)


def test_the_cursor_stays_on_the_path_and_follows_again_at_its_end() -> None:
    view = viewed(scripted(), 10)
    view.move_to(-5)
    assert view.cursor == 1
    view.move_to(99)
    assert view.cursor == 10
    assert view.following


def test_late_events_of_an_earlier_run_change_nothing() -> None:
    source = scripted()
    view = viewed(source, 5)
    late = view.path[-1]
    source.ask(Restart(source.settings))
    view.apply(StepMeasured(1, 0, dataclasses.replace(late, step=1)))
    view.apply(RunPaused(1, Why.ASKED))
    assert view.run == 2
    assert view.newest == 0
    assert view.phase is Phase.READY


ACCIDENTS = [Accidents(), Accidents(invalid=9), Accidents(dense_ends=7), Accidents(infinite=5)]


@pytest.mark.parametrize("follow", list(Follow))
@pytest.mark.parametrize("accidents", ACCIDENTS)
def test_the_summary_kept_up_step_by_step_is_that_of_the_whole_path(follow: Follow, accidents: Accidents) -> None:
    source = scripted(follow, accidents=accidents)
    view = viewed(source)
    for _ in range(20):
        source.advance(1)
        assert flat(view.summary) == pytest.approx(flat(summarise(view.path)), nan_ok=True)


def test_the_summary_at_an_earlier_cursor_leaves_out_what_came_later() -> None:
    view = viewed(scripted(), 30)
    view.move_to(12)
    assert view.summary.steps == 12
    assert view.summary.kl_sum == pytest.approx(view.path[11].sum.kl)


def flat(summary: Summary) -> dict[str, float | None]:
    plain = dataclasses.asdict(summary)
    nested = {key: plain.pop(key) or {} for key in ("kl", "kl_shared")}
    return plain | {f"{key}.{name}": value for key, spread in nested.items() for name, value in spread.items()}


def test_a_fork_shows_the_new_branch_and_going_back_shows_the_old_one_whole() -> None:
    source = scripted(Follow.DENSE)
    view = viewed(source, 20)
    before = list(view.path)
    view.move_to(4)
    token = before[3].own.top[1].token_id
    source.ask(Fork(4, dense=token))
    assert view.newest == 4
    assert view.following
    assert view.path[3].taken is not None
    assert view.path[3].taken.token_id == token
    assert list(view.path[:3]) == before[:3]
    source.ask(Select(0))
    assert list(view.path) == before


def test_what_a_chart_draws_is_of_the_branch_that_is_shown() -> None:
    source = scripted(Follow.DENSE)
    view = viewed(source, 20)
    assert len(view.columns.get("p.kl")) == 20
    source.ask(Fork(4, dense=view.path[3].own.top[1].token_id))
    assert len(view.columns.get("p.kl")) == 4
    generation = view.generation
    source.ask(Select(0))
    assert len(view.columns.get("p.kl")) == 20
    assert view.generation > generation


def test_steps_of_a_branch_that_is_not_shown_are_kept_and_not_shown() -> None:
    source = scripted(Follow.DENSE)
    view = viewed(source, 3)
    record = source.records(4)[3]
    view.apply(BranchOpened(1, Branch(1, 0, 2, dense=0)))
    view.apply(StepMeasured(1, 0, record))
    assert view.newest == 1
    view.apply(BranchSelected(1, 0))
    assert view.newest == 4


def test_speed_is_of_the_last_steps_and_only_while_running() -> None:
    source = scripted()
    view = viewed(source)
    source.ask(Run())
    source.advance(2)
    assert view.speed is None
    source.advance(3)
    assert view.speed == pytest.approx(10)
    source.ask(Pause())
    assert view.speed is None


def test_resuming_forgets_why_the_run_stood_still() -> None:
    view = viewed(scripted(), 1)
    view.apply(RunPaused(1, Why.UNTIL))
    view.apply(RunResumed(1))
    assert view.pause is None


def test_the_highest_kl_is_an_infinite_one_where_there_is_one() -> None:
    view = viewed(scripted(accidents=Accidents(infinite=6)), 20)
    assert view.highest_kl() == 6
    view = viewed(scripted(), 20)
    largest = max(view.path, key=lambda record: record.shared.p.kl if record.shared else 0)
    assert view.highest_kl() == largest.step
    assert View().highest_kl() is None


def test_the_split_is_that_of_the_path_that_is_shown() -> None:
    view = viewed(scripted(), 40)
    assert view.split == next(record.step for record in view.path if record.split)
    assert View().split is None


def test_explanations_are_kept_by_step_and_forgotten_with_the_run() -> None:
    source = scripted()
    view = viewed(source, 2)
    told = Explained(1, 0, 2, Layers(()))
    view.apply(told)
    assert view.explained(Layers, 2) is told
    assert view.finding(Layers, 2) is told.found
    assert view.finding(Layers, 1) is None
    assert view.finding(Swaps, 2) is None
    assert view.header is not None
    view.apply(RunStarted(2, view.header))
    assert not list(view.findings())
