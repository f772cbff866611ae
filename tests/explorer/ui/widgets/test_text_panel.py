"""A text is laid out again only if its width has changed: of ten thousand tokens that takes a second."""

from __future__ import annotations

from itertools import pairwise

from explorer.ui.widgets.text_panel import TextPanel
from explorer.words.model_texts import APART
from probes.schema.settings import Follow
from tests.support.stage import on_stage, press, scripted, text_of


async def test_a_text_hidden_by_a_zoomed_panel_stays_as_it_is() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        text = app.main.query_one("#dense", TextPanel)
        flow, shown = text._flow, text_of(app, "#dense")
        await press(pilot, "z")  # the table
        assert not text.display
        await press(pilot, "n", "z")
        assert text.display
        assert text._flow is flow
        assert text_of(app, "#dense").startswith(shown[: len(shown) // 2])
        assert len(text._tokens) == 31


async def test_a_text_takes_the_width_that_it_is_given() -> None:
    async with on_stage(scripted(), 30) as (app, pilot):
        text = app.main.query_one("#dense", TextPanel)
        flow = text._flow
        text.focus()
        await press(pilot, "z")
        assert text._flow is not flow
        assert text._flow.width == text.size.width


async def test_a_choice_that_the_text_does_not_continue_with_is_ended_by_a_mark() -> None:
    async with on_stage(scripted(Follow.DENSE), 30) as (app, _):
        panel = app.main.query_one("#pruned", TextPanel)
        words = [word for line in panel._flow.lines for word in line if word.step]
        ended = {word.step for word in words if word.mark and word.text == APART}
        path = app.view.path
        other = [one.step for one in path if one.taken and one.pruned and one.taken.token_id != one.pruned.token_id]
        assert ended == set(other)
        assert 0 < len(other) < len(path)
        for before, word in pairwise(words):
            if word.mark and word.text == APART:
                assert before.step == word.step
                assert not before.mark
        assert APART not in app.main.query_one("#dense", TextPanel).copy_text()
