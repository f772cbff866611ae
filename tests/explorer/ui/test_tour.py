"""The tour: six stops, each left when its key has done its work; > does the key; a recording stands in for models."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from explorer.recordings.shipped import DEMO_RECORDING, TOUR_RECORDING, shipped_folder
from explorer.sources.chosen import Chosen
from explorer.sources.replay import ReplaySource
from explorer.sources.toy.source import ToySource
from explorer.state.tour import STOPS
from explorer.ui.app import ExplorerApp
from explorer.ui.messages import RecordingChosen
from explorer.ui.screens.main import MainScreen
from explorer.ui.screens.recordings import Recordings
from explorer.ui.screens.verdict import VerdictScreen
from explorer.ui.screens.welcome import Welcome
from explorer.ui.screens.why import WhyScreen
from explorer.ui.widgets.tour_strip import TourStrip
from probes.schema.errors import FailureKind
from probes.schema.events import Failed
from probes.schema.settings import STEPS
from tests.support.launcher import FakeLauncher
from tests.support.stage import MIDDLE, SMALL, Clock, Waiting, on_stage, press, screen_text, scripted, settle, until

KEYS = {"run": ["space"], "split": ["g"], "highest": ["G"], "why": ["d"], "verdict": ["escape", "j"]}


def strip_text(app: ExplorerApp) -> str:
    """What the strip shows, of which nothing is cut."""
    strip = app.screen.query_one(TourStrip)
    lines, words = strip._text_lines(), strip._said[1].split()
    assert not words or [word for line in lines[1:] for word in line.split()] == words
    return "\n".join(lines)


def notices(app: ExplorerApp) -> str:
    return "\n".join(one.message for one in app._notifications)


def look(app: ExplorerApp) -> None:
    """What the strip does a few times a second."""
    app.guide.look()


async def stepped(source: ToySource, app: ExplorerApp, pilot: Pilot[int]) -> None:
    """The run that space began, up to its end."""
    source.advance(1000)
    await settle(pilot)
    look(app)
    await settle(pilot)


@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
@pytest.mark.parametrize("guided", [True, False], ids=["by >", "by the keys"])
async def test_six_stops_lead_through_the_finding(size: tuple[int, int], guided: bool) -> None:
    source = scripted(steps=24)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        seen = []
        for number, stop in enumerate(STOPS, start=1):
            look(app)
            await settle(pilot)
            shown = strip_text(app)
            assert stop.title in shown
            assert "●" * number + "○" * (len(STOPS) - number) in shown
            assert (stop.does if stop is not STOPS[-1] else "> shows recorded scores") in shown
            seen.append(shown)
            if stop is STOPS[-1]:
                break
            await press(pilot, *(["greater_than_sign"] if guided else KEYS[stop.command]))
            if stop.command == "run":
                await stepped(source, app, pilot)
        assert isinstance(app.screen, VerdictScreen)
        assert len(set(seen)) == len(STOPS)
        assert 'chooses "' in seen[1]
        assert "Cosines" in seen[2]
        assert "Survival" in seen[3]
        assert STOPS[-1].does not in seen[-1]
        await press(pilot, "greater_than_sign")  # nothing is scored here: the recorded scores take its place
        await until(pilot, lambda: not app.view.live and app.view.header is not None, "the recording")
        look(app)
        await until(pilot, lambda: app.view.results.present.verdict is not None, "its scores")
        assert isinstance(app.screen, VerdictScreen)
        look(app)
        await settle(pilot)
        assert "Right answers in %, dense / pruned: facts" in strip_text(app)
        await press(pilot, "greater_than_sign")
        assert not app.screen.query(TourStrip)
        await press(pilot, "escape")
        assert not app.screen.query(TourStrip)


async def test_while_they_write_the_strip_counts_to_the_default_length_too() -> None:
    source = scripted(steps=0)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "space")
        source.advance(3)
        await settle(pilot)
        look(app)
        await settle(pilot)
        assert f"step 3 of at most {STEPS}" in strip_text(app)


async def test_the_worst_step_stays_the_worst_while_a_person_looks_around() -> None:
    source = scripted(steps=24)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "space")
        await stepped(source, app, pilot)
        for key in ("g", "G"):
            await press(pilot, key)
            look(app)
            await settle(pilot)
        worst = app.view.highest_kl()
        assert f"Step {worst} is the worst" in strip_text(app)
        await press(pilot, "home")
        look(app)
        await settle(pilot)
        assert app.view.cursor != worst
        assert f"Step {worst} is the worst" in strip_text(app)


async def test_a_stop_is_told_again_until_its_key_or_something_else_is_done() -> None:
    source = scripted(steps=24)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await press(pilot, "greater_than_sign")
        await stepped(source, app, pilot)
        await press(pilot, "less_than_sign")
        for _ in range(3):
            look(app)
            await settle(pilot)
            assert STOPS[0].title in strip_text(app)
        await press(pilot, "left")
        look(app)
        await settle(pilot)
        assert STOPS[1].title in strip_text(app)
        newest = app.view.newest
        await press(pilot, "less_than_sign")
        look(app)
        await press(pilot, "greater_than_sign", "greater_than_sign")  # the second before the next stop was told
        await settle(pilot)
        assert STOPS[1].title in strip_text(app)
        assert app.view.newest == newest
        assert not app.view.running


async def test_going_back_shows_what_was_told_there() -> None:
    source = scripted(steps=24)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        told: list[tuple[str, int, type[object]]] = []

        async def see() -> tuple[str, int, type[object]]:
            for _ in range(2):
                look(app)
                await settle(pilot)
            return strip_text(app), app.view.cursor, type(app.screen)

        for stop in STOPS[:-1]:
            told.append(await see())
            await press(pilot, "greater_than_sign")
            if stop.command == "run":
                await stepped(source, app, pilot)
        await see()
        for before in reversed(told[1:]):
            await press(pilot, "less_than_sign")
            assert await see() == before


async def test_models_that_agree_have_no_split_to_go_to() -> None:
    source = scripted(steps=12, setting="wanda:0.01")
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await press(pilot, "greater_than_sign")
        await stepped(source, app, pilot)
        assert app.view.split is None
        assert STOPS[2].title in strip_text(app)


@pytest.mark.parametrize("size", [SMALL, MIDDLE], ids=["80x24", "120x36"])
async def test_without_models_the_tour_is_taken_on_the_recording_and_shows_all_that_it_holds(
    size: tuple[int, int],
) -> None:
    app = ExplorerApp(
        ReplaySource(shipped_folder() / TOUR_RECORDING, play=True, pace=1e6), launcher=FakeLauncher(), clock=Clock()
    )
    app.guide.begin()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.view.header is not None, "the recording")
        for stop in STOPS[:-1]:
            look(app)
            await settle(pilot)
            assert stop.title in strip_text(app)
            await press(pilot, "greater_than_sign")
            if stop.command == "run":
                await until(pilot, lambda: app.view.pause is not None and app.view.newest > 60, "the last step")
            if stop.command == "why":
                assert isinstance(app.screen, WhyScreen)
                look(app)
                await settle(pilot)
                assert "its weights back, and KL falls from" in strip_text(app)
        await until(pilot, lambda: app.view.results.present.verdict is not None, "the verdict beside the recording")
        look(app)
        await settle(pilot)
        assert "answers" in strip_text(app)
        assert "Right answers in %, dense / pruned: facts" in strip_text(app)


async def test_while_models_load_or_fail_the_recording_is_offered() -> None:
    app = ExplorerApp(Waiting(scripted().settings), launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        look(app)
        await settle(pilot)
        assert "> takes the tour on a recording" in strip_text(app)
        await press(pilot, "greater_than_sign")
        await until(pilot, lambda: app.view.header is not None, "the recording")
        assert not app.view.live
        look(app)
        await settle(pilot)
        assert STOPS[0].title in strip_text(app)


async def test_the_first_screen_explains_and_offers_every_way() -> None:
    app = ExplorerApp(launcher=FakeLauncher(), clock=Clock(), welcome=True)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, Welcome)
        for words in ("side by side", "The tour", "The demo models", "A recording", "Your recordings", "--dense MODEL"):
            assert words in screen_text(app)
        await press(pilot, "o")
        assert isinstance(app.screen, Recordings)
        await press(pilot, "escape")
        assert isinstance(app.screen, Welcome)
        await press(pilot, "enter")
        assert isinstance(app.screen, MainScreen)
        assert app.guide.on_tour


@pytest.mark.parametrize(("downs", "live"), [(1, True), (2, False)])
async def test_the_first_screen_begins_with_models_or_a_recording(downs: int, live: bool) -> None:
    app = ExplorerApp(launcher=FakeLauncher(), clock=Clock(), welcome=True)
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, *["down"] * downs, "enter")
        await until(pilot, lambda: app.view.header is not None, "a run")
        assert app.view.live is live
        assert not app.guide.on_tour


async def test_without_models_the_first_screen_offers_recordings() -> None:
    app = ExplorerApp(clock=Clock(), welcome=True)
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        assert "The tour" not in screen_text(app)
        assert "A recording" in screen_text(app)


async def test_the_keys_of_a_tour_are_listed_and_one_ends_it() -> None:
    app = ExplorerApp(Waiting(scripted().settings), launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await press(pilot, "question_mark")
        for words in ("tells the stop before again", "takes its strip away"):
            assert words in screen_text(app)
        await press(pilot, "escape", "Q")
        assert not app.guide.on_tour
        assert not app.screen.query(TourStrip)


async def test_only_another_recording_ends_the_tour_and_a_key_begins_it_there() -> None:
    app = ExplorerApp(scripted(), launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "o")
        assert isinstance(app.screen, Recordings)
        await press(pilot, "escape")
        assert isinstance(app.screen, MainScreen)
        assert app.guide.on_tour
        assert app.screen.query(TourStrip)
        app.post_message(RecordingChosen(Chosen(shipped_folder() / DEMO_RECORDING)))
        await until(pilot, lambda: app.view.newest > 0 and not app.view.live, "the other recording")
        assert not app.guide.on_tour
        assert not app.screen.query(TourStrip)
        assert "the tour has ended" in notices(app)
        await press(pilot, "greater_than_sign")
        look(app)
        await settle(pilot)
        assert STOPS[0].title in strip_text(app)
        await press(pilot, "greater_than_sign")
        assert STOPS[1].title in strip_text(app)


async def test_a_tour_that_was_ended_is_taken_up_at_its_stop_and_after_its_end_from_the_first() -> None:
    source = scripted(steps=24)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await press(pilot, "greater_than_sign")
        await stepped(source, app, pilot)
        await press(pilot, "greater_than_sign")
        look(app)
        await settle(pilot)
        assert STOPS[2].title in strip_text(app)
        await press(pilot, "Q")
        assert not app.guide.on_tour
        assert "takes it up again at stop 3" in notices(app)
        await press(pilot, "question_mark")
        assert "takes it up again" in screen_text(app)
        await press(pilot, "escape", "greater_than_sign")
        look(app)
        await settle(pilot)
        assert STOPS[2].title in strip_text(app)


async def test_from_recorded_scores_the_tour_goes_back_to_its_live_run() -> None:
    source = scripted(steps=24)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        for stop in STOPS[:-1]:
            look(app)
            await settle(pilot)
            await press(pilot, "greater_than_sign")
            if stop.command == "run":
                await stepped(source, app, pilot)
        look(app)
        await settle(pilot)
        await press(pilot, "greater_than_sign")
        await until(pilot, lambda: not app.view.live and app.view.newest > 0, "the recording")
        look(app)
        await until(pilot, lambda: app.view.results.present.verdict is not None, "its scores")
        await press(pilot, "less_than_sign")
        for _ in range(2):
            look(app)
            await settle(pilot)
        assert app.view.live
        assert app.source is source
        assert isinstance(app.screen, WhyScreen)
        assert STOPS[4].title in strip_text(app)
        await press(pilot, "less_than_sign")
        look(app)
        await settle(pilot)
        assert "Survival" in strip_text(app)


async def test_while_they_write_the_key_says_what_happens() -> None:
    source = scripted(steps=24)
    app = ExplorerApp(source, launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        await press(pilot, "greater_than_sign")
        source.advance(3)
        await settle(pilot)
        await press(pilot, "greater_than_sign")
        assert "step 3 of at most" in notices(app)
        assert "Then > goes on" in notices(app)


async def test_a_loading_that_was_cancelled_is_not_called_impossible() -> None:
    app = ExplorerApp(Waiting(scripted().settings), launcher=FakeLauncher(), clock=Clock())
    app.guide.begin()
    async with app.run_test(size=MIDDLE) as pilot:
        app.view.apply(Failed("Cancelled", "Loading was cancelled.", kind=FailureKind.CANCELLED))
        look(app)
        await settle(pilot)
        assert "Loading was cancelled." in strip_text(app)
        assert "can't be loaded" not in strip_text(app)


async def test_outside_a_tour_one_key_begins_it_and_throws_nothing_away() -> None:
    async with on_stage(scripted(), 8) as (app, pilot):
        await press(pilot, "less_than_sign")
        assert not app.guide.on_tour
        await press(pilot, "greater_than_sign")
        look(app)
        await settle(pilot)
        assert STOPS[0].title in strip_text(app)
        assert app.view.newest == 8


async def test_without_a_run_the_key_says_what_the_tour_needs() -> None:
    app = ExplorerApp(clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "greater_than_sign")
        assert "The tour is taken on a run" in notices(app)
