"""Notes and warnings of a run can be shown again, and the title keeps room for what was removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from explorer.sources.toy.source import ToySource
from explorer.ui.widgets.title import TitlePart, laid_out
from explorer.words.explanations import EXPLANATIONS
from probes.schema.events import RunStarted
from probes.schema.header import PruneReport, RunHeader
from probes.schema.settings import Follow
from tests.support.stage import LARGE, MIDDLE, SMALL, on_stage, press, screen_text, scripted, settle, text_of

WARNING = "The second model is the dense one [really]."
NOTES = ("Its own LM head is used.", "3 tokens [PAD] are left out.")


def restarted(source: ToySource, header: RunHeader | None, **changes: Any) -> None:
    """The same run with another header."""
    assert header is not None
    source.emit(RunStarted(7, replace(header, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_a_key_shows_all_warnings_and_notes_again(size: tuple[int, int]) -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 2, size) as (app, pilot):
        restarted(source, app.view.header, warnings=(WARNING,), notes=NOTES)
        await settle(pilot)
        await press(pilot, "enter")
        assert "! 1 warning" in text_of(app, "Title")
        assert WARNING not in screen_text(app)
        for keys in (("exclamation_mark",), ("w", "exclamation_mark")):
            await press(pilot, *keys)
            shown = screen_text(app)
            for words in (WARNING, *NOTES, "wanda:0.5: 50.0 % of 106.2 M zeroed."):
                assert words in shown
            await press(pilot, "escape")


async def test_the_title_says_that_there_are_notes() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 2, LARGE) as (app, pilot):
        assert "!" not in text_of(app, "Title")
        await press(pilot, "exclamation_mark")
        assert "There are no notes and no warnings." in screen_text(app)
        await press(pilot, "escape")
        restarted(source, app.view.header, notes=NOTES)
        await settle(pilot)
        assert " 2 notes" in text_of(app, "Title")
        assert "!" not in text_of(app, "Title"), "nothing to be warned of"


async def test_at_120_columns_the_title_says_what_a_model_made_elsewhere_lacks() -> None:
    source = scripted(Follow.DENSE)
    async with on_stage(source, 2, MIDDLE) as (app, pilot):
        header = app.view.header
        assert header is not None
        report = PruneReport("", 0, 1, compared=272, shape="24 of 30 layers", dropped=("attn 3", "attn 4"))
        pruned = replace(header.pruned, name="SmolLM2-135M-Instruct-shortened-by-others")
        restarted(source, header, prune=report, pruned=pruned)
        await settle(pilot)
        assert "24 of 30 layers" in text_of(app, "Title")


def test_what_was_removed_is_cut_before_it_is_left_out() -> None:
    parts = [TitlePart(100, [("names", None)]), TitlePart(60, [("24 of 30 layers, 3 attn dropped", None)], least=14)]
    for width in range(36, 60):
        line = "".join(text for text, _ in laid_out(parts, [TitlePart(90, [("step 1", None)])], width))
        assert cell_len(line) <= width
        assert "24 of 30" in line
    assert "…" in "".join(text for text, _ in laid_out(parts, [], 28))


async def test_every_panel_of_the_prune_screen_is_explained() -> None:
    async with on_stage(scripted(Follow.DENSE), 3) as (app, pilot):
        await press(pilot, "w")
        for panel in ("layers", "before-after"):
            app.screen.query_one(f"#{panel}").focus()
            await press(pilot, "f1")
            assert EXPLANATIONS[panel].formula in screen_text(app)
            await press(pilot, "escape")


def test_a_long_setting_is_shortened_and_the_status_stays() -> None:
    setting = "wanda:0.5@mlp+drop-attn@layers=20,22+dense@attn@layers=3,14,18"
    names = TitlePart(100, [("dense", None), (" ⇄ ", None), (setting, None)], shortest=24)
    parts = [TitlePart(10, [("phier", None)]), names, TitlePart(30, [("! 3 notes", None)])]
    lines = [
        "".join(text for text, _ in laid_out(parts, [TitlePart(90, [("step 4/20", None)])], width))
        for width in (70, 80, 140)
    ]
    for line in lines:
        assert "phier" in line
        assert "! 3 notes" in line
        assert "step 4/20" in line
    assert "wanda:0.5@mlp+…@layers=3,14,18" in lines[0]
    assert "…" not in lines[2]
    assert setting in lines[2]
