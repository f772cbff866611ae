"""Live tiny models are explained on the screen: from the keys to the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.sources.live import LiveSource
from explorer.state.heals import heal_rows
from explorer.state.why_pages import WhyLook
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.why import WhyScreen
from explorer.ui.widgets.why_sheet import WhySheet
from probes.pair import Pair, pair_with_twin
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from tests.support.prune_models import FEW, loaded
from tests.support.stage import MIDDLE, Clock, at_rest, press, screen_text, until


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def pair() -> Pair:
    return pair_with_twin(loaded("llama"), parse("magnitude:0.6"), FEW)


async def test_a_step_of_live_models_is_explained_and_stepping_goes_on() -> None:
    source = LiveSource(lambda _work: pair(), RunSettings("abcdef", follow=Follow.DENSE, steps=8))
    app = ExplorerApp(source, clock=Clock())
    async with app.run_test(size=MIDDLE) as pilot:
        await until(pilot, lambda: app.view.header is not None, "a run")
        await press(pilot, "n", "n", "n")
        await at_rest(app, pilot)
        assert app.view.newest == 3
        await press(pilot, "d")
        await at_rest(app, pilot)
        screen = app.screen
        assert isinstance(screen, WhyScreen)
        look = WhyLook(app.view)
        assert look.swaps is not None
        assert look.swaps.control == 0
        assert look.layers is not None
        sheet = screen.query_one(WhySheet)
        assert sheet.parts == [row.part for row in heal_rows(look.swaps)]
        assert "control 0" in screen_text(app)
        assert f"{look.culprit}" in "\n".join(sheet._text_lines())
        await press(pilot, "4", "n")
        await at_rest(app, pilot)
        assert app.view.newest == 4, "stepping goes on"
        assert look.split is not None
        await press(pilot, "escape")
        assert not app._notifications
