"""The main screen by keys and by mouse."""

from __future__ import annotations

import pytest
from textual.events import MouseScrollUp

from explorer.sources.toy.step import Accidents
from explorer.state.view import Phase
from explorer.ui import theme
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.main import MainScreen
from explorer.ui.widgets.chart import GUTTER, Chart
from explorer.ui.widgets.kl_strip import KlStrip
from explorer.ui.widgets.next_tokens import NextTokens
from explorer.ui.widgets.text_panel import TextPanel
from probes.schema.requests import Cancel, Fork, Pause, Run, Step
from probes.schema.settings import Follow
from tests.support.launcher import FakeLauncher
from tests.support.stage import LARGE, MIDDLE, SMALL, Clock, on_stage, press, screen_text, scripted, settle, text_of


async def test_space_runs_and_pauses() -> None:
    source = scripted()
    async with on_stage(source) as (app, pilot):
        await press(pilot, "space")
        assert app.view.phase is Phase.RUNNING
        source.advance(5)
        await press(pilot, "space")
        assert app.view.phase is Phase.PAUSED
        assert source.asked == [Run(), Pause()]


async def test_n_measures_one_step_and_shows_it() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "left", "left", "n")
        assert app.view.newest == 6
        assert app.view.cursor == 6
        assert "step 6/128" in text_of(app, "Title")


async def test_arrows_pages_home_and_end_move_the_cursor() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        for keys, cursor in (
            (["left", "left"], 28),
            (["right"], 29),
            (["pageup"], 19),
            (["home"], 1),
            (["pagedown"], 11),
            (["end"], 30),
        ):
            await press(pilot, *keys)
            assert app.view.cursor == cursor
        assert app.view.following


async def test_everything_speaks_of_the_step_at_the_cursor() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        await press(pilot, "home", "right", "right")
        assert "step 3/128  27 behind" in text_of(app, "Title")
        assert app.main.query_one(NextTokens)._record is app.view.path[2]
        assert app.main.query_one("#probability Chart", Chart).picture.cursor == 3  # type: ignore[union-attr]
        assert app.main.query_one("#dense", TextPanel)._cursor == 3


async def test_g_goes_to_the_split_and_shift_g_to_the_highest_kl() -> None:
    async with on_stage(scripted(), 40) as (app, pilot):
        await press(pilot, "g")
        assert app.view.cursor == app.view.split == 17
        await press(pilot, "G")
        assert app.view.cursor == app.view.highest_kl()


async def test_g_without_a_split_says_so_and_moves_nothing() -> None:
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "g")
        assert app.view.cursor == 5
        assert any("the same token at each of 5 steps" in toast.message for toast in app._notifications)


async def test_up_and_down_choose_a_row_and_enter_forks_with_it() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 10) as (app, pilot):
        await press(pilot, "left", "down", "down", "up", "enter")
        asked = source.asked[-1]
        row = app.view.branches.path(0)[8].own.top[1]
        assert asked == Fork(9, dense=row.token_id)
        assert app.view.branches.current == 1
        assert app.view.newest == 9


async def test_a_new_step_chooses_the_first_row_again() -> None:
    async with on_stage(scripted(), 10) as (app, pilot):
        await press(pilot, "down", "down", "left")
        assert app.main.query_one(NextTokens).row == 0


@pytest.mark.parametrize(
    ("answer", "asked"),
    [("b", ("dense", "pruned")), ("d", ("dense",)), ("p", ("pruned",))],
)
async def test_a_fork_of_two_texts_asks_where(answer: str, asked: tuple[str, ...]) -> None:
    for step, keys in ((1, ("home",)), (30, ())):  # before the texts have diverged, and after
        source = scripted()
        async with on_stage(source, 30) as (app, pilot):
            await press(pilot, *keys, "down")
            token = app.main.query_one(NextTokens).chosen
            assert token is not None
            await press(pilot, "enter", answer)
            assert source.asked[-1] == Fork(step, **dict.fromkeys(asked, token.token_id))


@pytest.mark.parametrize(
    ("follow", "accidents", "on"),
    [
        (Follow.DENSE, Accidents(), "dense"),
        (Follow.PRUNED, Accidents(), "dense"),
        (Follow.FREE, Accidents(pruned_ends=25), "dense"),
        (Follow.FREE, Accidents(dense_ends=25), "pruned"),
    ],
)
async def test_a_fork_asks_nothing_where_one_text_is_left(follow: Follow, accidents: Accidents, on: str) -> None:
    source = scripted(follow, accidents=accidents)
    async with on_stage(source, 30) as (app, pilot):
        table = app.main.query_one(NextTokens)
        if table.chosen is None:  # a step of one model alone has no table: a token is typed
            await press(pilot, "i", "space", *"clips", "enter")
        else:
            await press(pilot, "down", "enter")
        asked = source.asked[-1]
        assert isinstance(asked, Fork)
        assert asked.step == 30
        assert [name for name in ("dense", "pruned") if getattr(asked, name) is not None] == [on]


async def test_a_fork_where_a_model_is_not_finite_asks_on_which_text() -> None:
    source = scripted(accidents=Accidents(invalid=9))
    async with on_stage(source, 9) as (app, pilot):
        assert app.view.record is not None
        assert app.view.record.invalid is not None
        await press(pilot, "i", "space", *"clips", "enter", "d")
        assert source.asked[-1] == Fork(9, dense=" clips")


async def test_c_turns_the_table_between_the_two_contexts() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        table = app.main.query_one(NextTokens)
        record = app.view.path[-1]
        assert record.shared is not None
        assert table._rows == record.shared.top
        await press(pilot, "c")
        assert table._rows == record.own.top


async def test_plus_and_minus_show_fewer_and_more_steps_around_the_cursor() -> None:
    async with on_stage(scripted(), 100) as (app, pilot):
        chart = app.main.query_one("#logit Chart", Chart)
        await press(pilot, "g", "plus", "plus")
        assert chart.picture is not None
        axis = chart.picture.axis
        assert axis.count == 25
        assert axis.first == 17 - 12
        await pilot.click(chart, offset=(GUTTER, 1))
        await settle(pilot)
        assert app.view.cursor == axis.first
        await press(pilot, "minus", "minus")
        assert chart.picture.axis.first == 1
        assert app.view.window is None


async def test_l_draws_divergences_from_zero() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        chart = app.main.query_one("#probability Chart", Chart)
        assert chart.picture is not None
        assert type(chart.picture.scale).__name__ == "Log"
        await press(pilot, "l")
        assert type(chart.picture.scale).__name__ == "Linear"
        assert chart.picture.scale.low == 0


@pytest.mark.parametrize("size", [SMALL, MIDDLE, LARGE])
async def test_z_opens_any_panel_at_any_size_and_escape_closes_it(size: tuple[int, int]) -> None:
    async with on_stage(scripted(), 30, size) as (app, pilot):
        for panel in ("dense", "pruned", "embedding", "logit", "probability", "accumulated", "table", "reading"):
            region = app.main.query_one(f"#{panel}")
            before = region.size
            region.focus()
            await press(pilot, "z")
            assert region.size.width > size[0] - 6
            assert region.size.height > size[1] - 8
            await press(pilot, "escape")
            assert region.size == before


async def test_a_zoomed_space_shows_all_its_figures_and_charts() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        app.main.query_one("#probability").focus()
        await press(pilot, "z")
        shown = screen_text(app)
        for word in ("Theorem 2", "amplified from h", "entropy dense", "total variation", "cosine of p"):
            assert word in shown


async def test_tab_visits_every_panel() -> None:
    async with on_stage(scripted(), 5) as (app, pilot):
        seen = set()
        for _ in range(12):
            await press(pilot, "tab")
            seen.add(app.focused.id if app.focused else None)
        assert seen == {
            "dense",
            "pruned",
            "embedding",
            "logit",
            "probability",
            "accumulated",
            "table",
            "reading",
            "strip",
        }


async def test_y_copies_the_panel_under_focus() -> None:
    async with on_stage(scripted(), 20) as (app, pilot):
        app.main.query_one("#dense").focus()
        await press(pilot, "y", "y")
        assert app.clipboard == "".join(record.taken.text for record in app.view.path if record.taken)
        app.main.query_one("#probability").focus()
        await press(pilot, "y", "y")
        assert app.clipboard.startswith("probability p, step 20\nKL\t")


async def test_t_goes_through_the_themes_and_back() -> None:
    async with on_stage(scripted(), 5) as (app, pilot):
        seen = [app.theme]
        for _ in theme.THEME_NAMES:
            await press(pilot, "t")
            seen.append(app.theme)
        assert seen == [*theme.THEME_NAMES, theme.THEME_NAMES[0]]


async def test_escape_cancels_the_work_under_way() -> None:
    from probes.schema.events import WorkProgressed

    source = scripted()
    async with on_stage(source, 5) as (_, pilot):
        source.emit(WorkProgressed("Calibrating wanda:0.6", 1, 4))
        await press(pilot, "escape")
        assert source.asked == [Cancel()]


async def test_q_leaves_and_closes_the_source() -> None:
    source = scripted()
    async with on_stage(source, 5) as (app, pilot):
        await press(pilot, "q")
        assert source._closed.is_set()
        assert app.return_value == 0


async def test_q_asks_first_where_something_would_be_lost() -> None:
    source = scripted()
    lost = FakeLauncher(unsaved=lambda: "12 steps are not on disk: it is full.")
    app = ExplorerApp(source, launcher=lost, clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await settle(pilot)
        await press(pilot, "q")
        assert "12 steps are not on disk" in screen_text(app)
        await press(pilot, "s")
        assert isinstance(app.screen, MainScreen)
        await press(pilot, "q", "q")
        assert source._closed.is_set()


# The mouse.


async def test_a_click_on_a_token_moves_the_cursor_there() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        text = app.main.query_one("#pruned", TextPanel)
        line = len(text._flow.lines) - 1 - text._top
        await pilot.click("#pruned", offset=(2 + 1, line + 1))
        await settle(pilot)
        word = text._flow.lines[text._top + line][0]
        assert app.view.cursor == word.step


async def test_a_click_in_a_chart_moves_the_cursor_to_that_step() -> None:
    async with on_stage(scripted(), 32) as (app, pilot):
        chart = app.main.query_one("#logit Chart", Chart)
        await pilot.click(chart, offset=(GUTTER, 1))
        await settle(pilot)
        assert app.view.cursor == 1


async def test_dragging_along_the_strip_moves_the_cursor() -> None:
    async with on_stage(scripted(), 32) as (app, pilot):
        strip = app.main.query_one(KlStrip)
        await pilot.mouse_down(strip, offset=(5, 0))
        await settle(pilot)
        first = app.view.cursor
        await pilot.hover(strip, offset=(60, 0))
        await settle(pilot)
        assert app.view.cursor > first
        await pilot.mouse_up(strip)


async def test_a_click_on_a_key_of_the_last_line_does_it() -> None:
    source = scripted()
    async with on_stage(source, 5) as (_, pilot):
        await pilot.click("KeyLine", offset=(3, 0))
        await settle(pilot)
        assert source.asked == [Run()]


async def test_a_click_chooses_a_row_and_a_double_click_forks() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 5) as (app, pilot):
        await pilot.click("#table", offset=(10, 4))
        await settle(pilot)
        assert app.main.query_one(NextTokens).row == 2
        await pilot.click("#table", offset=(10, 4), times=2)
        await settle(pilot)
        asked = source.asked[-1]
        assert isinstance(asked, Fork)
        assert asked.step == 5


async def test_the_wheel_scrolls_a_text_without_moving_the_cursor() -> None:
    async with on_stage(scripted(), 100) as (app, pilot):
        text = app.main.query_one("#dense", TextPanel)
        top = text._top
        text.post_message(_wheel_up(text))
        await settle(pilot)
        assert text._top == top - 1
        assert app.view.cursor == 100


def _wheel_up(widget: TextPanel) -> MouseScrollUp:
    return MouseScrollUp(widget, 1, 1, 0, -1, 0, False, False, False)


async def test_text_selected_with_the_mouse_is_what_is_copied() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        await pilot.mouse_down("#dense", offset=(2, 2))
        await pilot.hover("#dense", offset=(9, 2))
        await pilot.mouse_up("#dense", offset=(9, 2))
        await settle(pilot)
        await press(pilot, "y", "y")
        assert app.clipboard == "In April"
        assert app.view.cursor == 30


# What is possible.


async def test_nothing_happens_to_keys_that_make_no_sense_yet() -> None:
    source = scripted()
    async with on_stage(source) as (app, pilot):
        await press(pilot, "enter", "left", "end", "g", "c", "down")
        assert source.asked == []
        assert app.view.phase is Phase.READY


async def test_a_recording_offers_nothing_that_needs_models() -> None:
    source = scripted(live=False)
    async with on_stage(source, 20) as (app, pilot):
        assert "recording" in text_of(app, "Title")
        await press(pilot, "enter", "s", "x", "f")
        assert source.asked == []
        assert isinstance(app.screen, MainScreen)
        off = [key.label for key in app.main.query_one("KeyLine")._keys if not key.enabled]  # type: ignore[attr-defined]
        assert set(off) == {"fork", "prune", "follow", "settings"}
        await press(pilot, "n", "space")
        assert source.asked == [Step(), Run()]


async def test_an_ended_model_is_marked_in_its_text() -> None:
    async with on_stage(scripted(accidents=Accidents(dense_ends=20)), 30) as (app, _):
        assert text_of(app, "#dense").rstrip().endswith("■")
        assert "■" not in text_of(app, "#pruned")


async def test_ctrl_c_says_how_to_quit() -> None:
    async with on_stage(scripted(), 5) as (app, pilot):
        await press(pilot, "ctrl+c")
        assert [toast.message for toast in app._notifications] == [
            "q quits. Ctrl+C does not, as people press it to copy."
        ]
