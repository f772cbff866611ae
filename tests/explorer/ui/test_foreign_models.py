"""A second model that was made elsewhere: the screen says what it lacks, and warns where that is nothing."""

from __future__ import annotations

from dataclasses import replace

from probes.schema.events import RunStarted
from probes.schema.header import PruneReport, RunHeader, TensorReport
from tests.support.stage import LARGE, on_stage, press, screen_text, scripted, settle

DIFFERS = PruneReport(
    setting="",
    zeroed=53_000_000,
    targeted=106_000_000,
    notes=("It has 24 of the dense model's 30 layers; missing: 20-25.",),
    compared=272,
    tensors=(TensorReport("model.norm.weight", 0.1, 0.2),),
)
SAME = PruneReport(
    setting="", zeroed=0, targeted=106_000_000, warnings=("The second model is the dense model.",), compared=272
)


def elsewhere(header: RunHeader | None, report: PruneReport) -> RunHeader:
    assert header is not None
    return replace(header, pruned=replace(header.pruned, name="made-elsewhere"), prune=report)


async def test_the_title_says_what_it_lacks_and_notes_are_shown_for_a_while() -> None:
    source = scripted()
    async with on_stage(source, size=LARGE) as (app, pilot):
        source.emit(RunStarted(2, elsewhere(app.view.header, DIFFERS)))
        await settle(pilot)
        shown = screen_text(app)
        assert "made-elsewhere" in shown
        assert "50.0 % of 106.0 M zeroed, 1 of 272" in shown
        assert [notice.message for notice in app._notifications] == list(DIFFERS.notes)


async def test_a_copy_of_the_dense_model_is_warned_of_in_a_dialog_once() -> None:
    source = scripted()
    async with on_stage(source) as (app, pilot):
        header = elsewhere(app.view.header, SAME)
        source.emit(RunStarted(2, header))
        await settle(pilot)
        assert "The second model is the dense model." in screen_text(app)
        await press(pilot, "escape")
        source.emit(RunStarted(3, header))
        await settle(pilot)
        assert "The second model is the dense model." not in screen_text(app)
        assert "! 1 warning" in screen_text(app)


async def test_a_warning_about_the_run_is_shown_like_one_about_what_was_removed() -> None:
    source = scripted()
    async with on_stage(source) as (app, pilot):
        assert app.view.header is not None
        source.emit(RunStarted(2, replace(app.view.header, warnings=("Its files hold a tensor that is not used.",))))
        await settle(pilot)
        assert "Its files hold a tensor that is not used." in screen_text(app)
        await press(pilot, "escape")
        assert "! 1 warning" in screen_text(app)
