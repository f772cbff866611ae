"""A screen that is closed before it is composed does no harm."""

from __future__ import annotations

from tests.support.stage import on_stage, scripted, settle

OPENING = (
    *("branches", "copy", "define", "explain", "find", "follow", "force", "grid", "keep", "keys", "notes", "passages"),
    *("prompt", "prune", "save", "settings", "steps", "until", "verdict", "watched", "why"),
)
"""The actions of the main screen that open another one at once."""


async def test_a_screen_may_be_closed_before_it_is_composed() -> None:
    async with on_stage(scripted(), 20) as (app, pilot):
        for action in OPENING:
            getattr(app.main, f"action_{action}")()
            assert app.screen is not app.main, action
            while app.screen is not app.main:
                app.pop_screen()
                await settle(pilot)
            assert app.is_running, action
