"""Playing a recording: speed, loop, everything at once."""

from __future__ import annotations

import pytest

from explorer.playback import PACES, Playback, next_pace, told
from explorer.scripted import ScriptedSource
from tests.explorer.stage import on_stage, press, scripted, text_of


class Played(ScriptedSource):
    """A scripted recording."""

    live = False
    loop = False

    def to_end(self) -> None:
        self.asked.append("to end")
        self.advance(100)


def test_a_live_source_is_not_played() -> None:
    assert isinstance(Played(live=False), Playback)
    assert not isinstance(scripted(), Playback)


@pytest.mark.parametrize(("pace", "faster", "after"), [(None, True, 1.0), (8.0, True, 16.0), (32.0, True, 32.0)])
def test_faster_goes_up_the_paces(pace: float | None, faster: bool, after: float) -> None:
    assert next_pace(pace, faster) == after


def test_slower_ends_at_the_speed_of_measuring() -> None:
    pace: float | None = PACES[-1]
    for _ in PACES:
        pace = next_pace(pace, False)
    assert pace is None


async def test_brackets_change_the_speed_and_a_plays_again_and_again() -> None:
    source = Played(live=False)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "space", "right_square_bracket", "right_square_bracket")
        assert source.pace == 2.0
        assert text_of(app, "Status").strip() == "Plays 2 steps a second."
        await press(pilot, "a")
        assert source.loop
        assert told(source) == "2 steps a second, over and over"
        await press(pilot, "left_square_bracket", "left_square_bracket")
        assert source.pace is None


async def test_e_shows_the_rest_at_once() -> None:
    source = Played(live=False)
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "left", "e")
        assert source.asked == ["to end"]
        assert app.view.cursor == 105


async def test_a_live_run_knows_no_speed() -> None:
    source = scripted()
    async with on_stage(source, 5) as (_, pilot):
        await press(pilot, "right_square_bracket", "a", "e")
        assert source.pace is None
        assert source.asked == []
