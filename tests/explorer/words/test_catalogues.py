"""Each figure of a run and each chart is described once."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest

from explorer.recordings.comparison import ROWS
from explorer.recordings.export.page import SUMS
from explorer.recordings.export.page_data import PAGE_CHARTS, READOUT
from explorer.sources.toy.source import ToySource
from explorer.ui.screens.compare import COMPARED_CHARTS
from explorer.ui.widgets import before_after
from explorer.ui.widgets.space_panel import SPACES
from explorer.words.charts import CHARTS
from explorer.words.figures import FIGURES
from explorer.words.summary_figures import SUMMARY_FIGURES, SummaryFigure
from probes.schema.summary import Spread, Summary, summarise
from probes.schema.watch import parse_watch
from tests.support.stage import scripted

WITHOUT_A_ROW = {"log_survival"}
"""Figures that another one shows better."""


def test_every_figure_of_a_summary_is_in_the_catalogue() -> None:
    spread = [f"kl_shared.{field.name}" for field in fields(Spread) if field.name != "count"]
    plain = {field.name for field in fields(Summary)} - {"kl", "kl_shared"} - WITHOUT_A_ROW
    assert set(SUMMARY_FIGURES) == {*plain, *spread}


def test_every_figure_is_read_from_a_summary() -> None:
    settings = replace(scripted().settings, watch=parse_watch("#1 | #2"))
    summary = summarise(ToySource(settings).records(40))
    for figure in SUMMARY_FIGURES.values():
        assert figure.of(summary) is not None, figure.key
        assert not figure.own or figure.of_own(summary) is not None, figure.key


def test_a_run_without_a_figure_has_none() -> None:
    summary = summarise([])
    assert SUMMARY_FIGURES["kl_shared.mean"].of(summary) is None
    assert SUMMARY_FIGURES["kl_shared.mean"].text(None) == "–"
    assert SUMMARY_FIGURES["first_split"].text(None) == "none"


def test_no_two_figures_have_one_label() -> None:
    for name in ("label", "short"):
        assert len({getattr(figure, name) for figure in SUMMARY_FIGURES.values()}) == len(SUMMARY_FIGURES)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("drift", 1.23456, "1.23"),
        ("survival", 0.0123, "1 %"),
        ("perplexity_ratio", 1.5, "×1.50"),
        ("half_life", 12.0, "12"),
        ("half_life", 12.34, "12.3"),
        ("half_life", math.inf, "∞"),
        ("longest_agreement", 7, "7"),
        ("longest_agreement", math.nan, "undef."),
    ],
)
def test_a_figure_is_written_the_same_everywhere(key: str, value: float, text: str) -> None:
    assert SUMMARY_FIGURES[key].text(value) == text


def test_all_tables_of_a_run_take_their_rows_from_the_catalogue() -> None:
    for figure in (*ROWS, *SUMS, *before_after.OUTCOME_FIGURES):
        assert isinstance(figure, SummaryFigure)
        assert SUMMARY_FIGURES[figure.key] is figure


def test_all_charts_are_of_the_catalogue_and_of_known_figures() -> None:
    for chart in (
        *COMPARED_CHARTS,
        *PAGE_CHARTS.values(),
        *READOUT,
        *(one for space in SPACES for one in space.charts),
    ):
        assert CHARTS[chart.key] is chart
    for chart in CHARTS.values():
        assert chart.key in FIGURES
        assert not chart.beside or chart.beside in FIGURES


def test_a_chart_says_its_unit_and_which_way_is_better() -> None:
    assert (CHARTS["p.kl"].title, CHARTS["p.kl"].better) == ("KL in nats", "↓")
    assert (CHARTS["h.cos"].title, CHARTS["h.cos"].better) == ("cosine of h", "↑")
    assert CHARTS["h.length_ratio"].better == ""


def test_a_run_in_which_nothing_could_be_compared_has_no_perfect_figures() -> None:
    nothing = summarise([])
    for key in ("agree_rate", "survival", "longest_agreement", "kl_shared_sum", "perplexity_ratio", "log_ratio"):
        assert SUMMARY_FIGURES[key].of(nothing) is None, key
    assert SUMMARY_FIGURES["agree_rate"].of(summarise(ToySource().records(3))) is not None
