"""The live table of `phier run`: the KL of a row is what the ΣKL beside it adds up."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from explorer.cli.live_table import SUMMARY, LiveTable, summary_rows
from explorer.sources.toy.source import ToySource
from probes.schema.events import RunStarted, StepMeasured
from probes.schema.settings import Follow
from probes.schema.summary import summarise
from probes.schema.watch import parse_watch
from tests.support.stage import scripted


def table(follow: Follow, steps: int) -> list[list[str]]:
    """The heading and the rows, in columns after the two tokens."""
    out = io.StringIO()
    shown = LiveTable(Console(file=out, width=160))
    source = scripted(follow)
    source.open(lambda event: shown(event) if isinstance(event, (RunStarted, StepMeasured)) else None)
    source.advance(steps)
    return [line.split() for line in out.getvalue().splitlines() if line.strip()][3:]


@pytest.mark.parametrize("follow", [Follow.DENSE, Follow.FREE])
def test_the_kl_of_a_row_is_what_the_sum_beside_it_grows_by(follow: Follow) -> None:
    records = scripted(follow).records(24)
    rows = table(follow, 24)[-24:]
    own = follow is Follow.FREE
    before = 0.0
    for record, row in zip(records, rows, strict=True):
        figures = row[-6:] if own else row[-5:]
        assert record.shared is not None
        assert float(figures[2]) == pytest.approx(record.shared.p.kl, rel=0.01)
        assert float(figures[3]) == pytest.approx(before + record.shared.p.kl, rel=0.01)
        before = record.sum.kl_shared
        if own:
            assert record.own is not None
            assert float(figures[5]) == pytest.approx(record.own.p.kl, rel=0.01)


def test_only_a_run_of_two_texts_has_a_second_kl() -> None:
    heads = {follow: " ".join(table(follow, 1)[-2]) for follow in (Follow.DENSE, Follow.FREE, Follow.TEXT)}
    assert [("own KL" in head, "shared" in head) for head in heads.values()] == [
        (False, False),
        (True, False),
        (False, False),
    ]


@pytest.mark.parametrize("follow", [Follow.DENSE, Follow.FREE])
def test_the_figures_below_have_the_labels_and_units_of_the_catalogue(follow: Follow) -> None:
    summary = summarise(scripted(follow).records(24))
    rows = dict(summary_rows(summary))
    own = follow is Follow.FREE
    assert ("drift" in rows, "ΣKL, own contexts" in rows, "invalid steps" in rows) == (own, own, False)
    assert rows == {one.label: one.text_with_unit(one.of(summary), 4) for one in SUMMARY if one.label in rows}
    assert rows["steps compared"] == str(summary.compared)
    assert rows["first split"] == f"step {summary.first_split}"
    assert rows["ΣKL, shared context"].endswith(" nat")


def test_a_row_ends_with_the_watched_tokens() -> None:
    out = io.StringIO()
    shown = LiveTable(Console(file=out, width=160))
    source = ToySource(replace(scripted().settings, watch=parse_watch('A=" and" | "[bold]","\\u001b[31m"')))
    source.open(lambda event: shown(event) if isinstance(event, (RunStarted, StepMeasured)) else None)
    source.advance(3)
    *_, head, first, _, _ = [line for line in out.getvalue().splitlines() if line.strip()]
    assert head.endswith("watched p → q")
    assert "◆ A " in first
    assert "  [bold] " in first


def test_watched_tokens_have_figures_below_only_if_there_are_two() -> None:
    watching = [ToySource(replace(scripted().settings, watch=parse_watch(text))) for text in ("#1 | #2", "#1", "")]
    found = [dict(summary_rows(summarise(source.records(12)))) for source in watching]
    assert ["mean KL, watched tokens" in rows for rows in found] == [True, False, False]
    record = watching[0].records(12)[-1].shared
    assert record is not None
    assert record.watched is not None
    a, b = record.watched.groups
    assert record.watched.agree == ((a.p >= b.p) == (a.q >= b.q))
