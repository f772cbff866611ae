"""The sums of a diverged run stand beside each other only over the same steps, so that drift is their difference."""

from __future__ import annotations

import pytest

from explorer.sources.toy.step import Accidents
from explorer.ui.widgets.space_panel import SPACES, panel_figures
from probes.schema.summary import summarise
from tests.support.stage import MIDDLE, on_stage, scripted, text_of


async def test_drift_is_the_difference_of_the_two_sums_above_it() -> None:
    source = scripted(accidents=Accidents(pruned_ends=22))
    async with on_stage(source, 40, MIDDLE) as (app, _):
        rows = {row.label: row for row in panel_figures(SPACES[3], app.view).rows}
        assert rows["ΣKL"].own == "", "the dense text is longer: its sum has no partner"
        shared, own, drift = rows["while both"].shared, rows["while both"].own, rows["drift"].own
        assert float(own) - float(shared) == pytest.approx(float(drift), abs=0.1)
        assert float(rows["ΣKL"].shared) > float(shared)
        shown = text_of(app, "#accumulated FigureRows").splitlines()
        places = [next(i for i, line in enumerate(shown) if name in line) for name in ("ΣKL", "while both", "drift")]
        assert places == [places[0], places[0] + 1, places[0] + 2]


async def test_no_column_touches_the_frame_of_its_panel() -> None:
    async with on_stage(scripted(), 40, MIDDLE) as (app, _):
        assert app.view.diverged
        for space in SPACES:
            shown = text_of(app, f"#{space.id} FigureRows")
            width = app.main.query_one(f"#{space.id} FigureRows").size.width
            assert all(len(line.rstrip()) < width for line in shown.splitlines()), shown
            assert "…" not in shown


async def test_while_both_write_there_is_one_row_of_both_sums() -> None:
    async with on_stage(scripted(), 30, MIDDLE) as (app, _):
        rows = {row.label: row for row in panel_figures(SPACES[3], app.view).rows}
        assert "while both" not in rows
        assert float(rows["ΣKL"].own) - float(rows["ΣKL"].shared) == pytest.approx(float(rows["drift"].own), abs=0.1)


def test_the_summary_has_both_sums_over_the_same_steps() -> None:
    records = scripted(accidents=Accidents(pruned_ends=22)).records(40)
    found = summarise(records)
    both = [record for record in records if record.own is not None]
    assert len(both) < len(records)
    assert found.kl_shared_both == pytest.approx(sum(one.shared.p.kl for one in both if one.shared))
    assert found.kl_sum - found.kl_shared_both == pytest.approx(found.drift)
