"""A panel of one space: its figures at the cursor above its chart over steps; zoomed, all of both side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.geometry import Size

from explorer.state.view import View
from explorer.ui.messages import FigurePointed
from explorer.ui.widgets.braille import DASHED, Linear, Scale, decades, linear_above_zero, linear_below_one
from explorer.ui.widgets.chart import Chart, ChartLine, Picture
from explorer.ui.widgets.figure_rows import FigureNamed, FigureRow, FigureRows, PanelFigures
from explorer.ui.widgets.line_widget import FramedWidget
from explorer.ui.widgets.repaint_cache import PanelColumn
from explorer.words import numbers
from explorer.words.charts import ChartKind, ScaleKind, charts
from explorer.words.figures import FIGURES, Scope, text
from explorer.words.summary_figures import Over, SummaryFigure, summary_figures
from probes.schema.noise_floor import NoiseFloor
from probes.schema.summary import Spread, Summary

LEAST_CHART = 5
"""Rows a chart is given before figures get more."""
LEAST_FIGURES = 8
"""Rows of figures, if there are as many; a tall panel has more, up to three fifths of its height."""


@dataclass(frozen=True, slots=True)
class Space:
    """The figures and charts of a panel."""

    id: str
    title: str
    name: str
    """One word, for a single line."""
    figures: tuple[str, ...]
    charts: tuple[ChartKind, ...]


SPACES = (
    Space(
        "embedding",
        "embedding h",
        "embedding",
        ("h.cos", "h.angle", "h.length_ratio", "h.orthogonal", "h.gap", "h.cos_estimate", "h.ratio", "h.parallel"),
        charts("h.cos", "h.angle", "h.gap", "h.length_ratio"),
    ),
    Space(
        "logit",
        "logit z",
        "logit",
        (
            "z.cos_centred",
            "z.cos",
            "z.rms_centred",
            "z.top5_rms",
            "z.rms",
            "z.mean_abs",
            "z.max_abs",
            "z.l2",
            "z.orthogonal",
            "z.parallel",
        ),
        charts("z.cos_centred", "z.rms_centred", "z.max_abs"),
    ),
    Space(
        "probability",
        "probability p",
        "probability",
        (
            "p.kl",
            "p.kl_reverse",
            "p.tv",
            "p.cos",
            "p.kl_estimate",
            "p.js",
            "p.kl_ratio",
            "p.gap",
            "p.cos_estimate",
            "p.cos_ratio",
            "p.entropy_dense",
            "p.entropy_pruned",
            "p.rank_dense_in_pruned",
            "p.rank_pruned_in_dense",
            "p.topk_overlap",
            "p.amplification_h",
            "p.amplification_z",
        ),
        charts("p.kl", "p.tv", "p.cos", "p.entropy_dense"),
    ),
    Space(
        "accumulated",
        "accumulated",
        "accumulated",
        (),
        charts("sum.kl", "sum.survival"),
    ),
)


class SpacePanel(FramedWidget, can_focus=True):
    """One of the four panels."""

    def __init__(self, space: Space) -> None:
        super().__init__(id=space.id, classes="panel space")
        self.space = space
        self._view: View | None = None
        self._figure_rows = FigureRows()
        self._figures: int | None = None
        """Rows for the figures; None if their style sheet decides."""
        self._high = Size(-1, -1), 0
        """Its size, and the rows inside, which take long to look up."""
        self._charts = [Chart(classes="chart" if place == 0 else "chart more") for place in range(len(space.charts))]

    def compose(self) -> ComposeResult:
        yield self._figure_rows
        with PanelColumn(classes="charts"):
            yield from self._charts

    def show(self, view: View) -> None:
        self._view = view
        keys = _keys(self.space, view)
        self._figure_rows.show(_panel_figures(self.space, view, keys[: self._share_height(view, len(keys))]))
        steps = f"{view.axis.first}–{min(view.axis.last, view.newest)}" if view.newest else ""
        noise = noise_floor(self.space.charts[0], view)
        written = f"noise {numbers.significant(noise, 2)} · " if noise is not None else "steps " if steps else ""
        self.entitle(self.space.title, f"{written}{steps}")
        zoomed = self.has_class("-zoomed")
        for kind, chart in zip(self.space.charts, self._charts, strict=True):
            if chart.display:
                chart.show(picture(kind, view, captioned=zoomed))
            elif not zoomed:
                break  # the others are not displayed either

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._high = Size(-1, -1), 0

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)

    @property
    def figure_keys(self) -> Sequence[str]:
        """The keys of its figures, in the order of their rows."""
        return _keys(self.space, self._view) if self._view is not None else ()

    @on(FigureNamed)
    def point_at_figure(self, message: FigureNamed) -> None:
        message.stop()
        self.post_message(FigurePointed(self.figure_keys[message.place]))

    def copy_text(self) -> str:
        """All figures of the panel, tab-separated."""
        if self._view is None:
            return ""
        found = panel_figures(self.space, self._view)
        lines = [f"{self.space.title}, step {self._view.cursor}"]
        lines += ["\t".join(part for part in (r.label, r.shared, r.own, r.unit) if part) for r in found.rows]
        return "\n".join(lines)

    def _share_height(self, view: View, figures: int) -> int | None:
        """Half of a panel is for figures, half for the chart. Zoomed, they are side by side.

        The rows of figures that there is room for; None for all."""
        if self._high[0] != self.outer_size:
            self._high = self.outer_size, self.size.height
        height = self._high[1]
        wanted = None
        if height > 1 and not self.has_class("-zoomed"):
            lines = figures + view.diverged
            wanted = max(2, min(lines, height - LEAST_CHART, max(LEAST_FIGURES, height * 3 // 5)))
        if wanted != self._figures:
            self._figures = self._figure_rows.styles.height = wanted  # even the same would lay the screen out again
        return None if wanted is None else wanted - view.diverged


def panel_figures(space: Space, view: View) -> PanelFigures:
    """The figures of a space at the cursor."""
    return _panel_figures(space, view, _keys(space, view))


def _panel_figures(space: Space, view: View, keys: Sequence[str]) -> PanelFigures:
    diverged = view.diverged
    if space.id == "accumulated":
        return PanelFigures(space.name, _accumulated(view, keys), diverged)
    record = view.record
    found = []
    dotted = "" if diverged else space.charts[0].beside
    for key in keys:
        figure = FIGURES[key]
        shared = text(record, key, Scope.SHARED) if record else numbers.NONE
        own = text(record, key, Scope.OWN) if record and diverged else ""
        arrow = f"{figure.better} ┅" if key == dotted else figure.better.value
        found.append(FigureRow(figure.label, arrow, shared, own, figure.unit))
    return PanelFigures(space.name, tuple(found), diverged)


BEFORE_ANY_STEP = ("kl_shared_sum", "survival")
SCORES = ("perplexity_dense", "perplexity_pruned", "nll_dense", "nll_pruned")
RUN = ("survival", "half_life", "agree_rate", "perplexity_ratio", "first_split", "longest_agreement")
SPREAD = ("kl_shared.mean", "kl_shared.median", "kl_shared.p90", "kl_shared.p99", "kl_shared.max")


def _keys(space: Space, view: View) -> tuple[str, ...]:
    """The keys of all figures of a panel, in the order of their weight."""
    if space.id != "accumulated":
        return space.figures
    if not view.cursor:
        return BEFORE_ANY_STEP
    sums = ("kl_shared_sum", *(("kl_shared_both",) if _longer(view) else ()), *(("drift",) if view.diverged else ()))
    keys = (*SCORES, *sums, *RUN, *SPREAD) if view.scores else (*sums, *RUN, *SPREAD, *SCORES)
    return (*keys, "rms_p_minus_q", *(("invalid",) if view.summary.invalid else ()))


def _longer(view: View) -> bool:
    """Is the dense text longer, so that its ΣKL is over more steps than the sum on own contexts?"""
    return view.diverged and _count(view.summary.kl) != _count(view.summary.kl_shared)


def _accumulated(view: View, keys: Sequence[str]) -> tuple[FigureRow, ...]:
    if not view.cursor:
        return tuple(FigureRow(one.short, one.better, numbers.NONE) for one in summary_figures(*keys))
    alone = _longer(view)
    return tuple(
        _row(figure, view.summary, view.diverged and not (alone and figure.key == "kl_shared_sum"))
        for figure in summary_figures(*keys)
    )


def _row(figure: SummaryFigure, summary: Summary, both: bool) -> FigureRow:
    """A figure in its column: on the shared context, on own contexts, or on both."""
    text, arrow = figure.text(figure.of(summary)), figure.better.value.strip()
    unit = "" if figure.unit == "step" else figure.unit[:3]
    if figure.over is not Over.SHARED:
        return FigureRow(figure.short, arrow, own=text, unit=unit)
    own = figure.text(figure.of_own(summary)) if both and figure.own else ""
    return FigureRow(figure.short, arrow, text, own, unit)


def _count(spread: Spread | None) -> int:
    return spread.count if spread is not None else 0


def picture(kind: ChartKind, view: View, *, captioned: bool = False) -> Picture:
    """The chart of a figure over the whole path: shared alone, or shared over own if the texts have diverged."""
    columns, caption = view.columns, kind.title
    lines = [ChartLine(columns.get(kind.key, Scope.SHARED), "shared")]
    if kind.key == "sum.survival":
        pass
    elif view.diverged:
        lines.append(ChartLine(columns.get(kind.key, Scope.OWN), "own", DASHED))
    elif kind.beside:
        lines.append(ChartLine(columns.get(kind.beside, Scope.SHARED), "muted", DASHED))
        caption += f", {kind.beside_name} dotted"
    lowest, highest = _extent(lines, view)
    return Picture(
        lines=tuple(lines),
        axis=view.axis,
        scale=scale_of(kind.scale, lowest, highest, view.log_scale),
        steps=view.newest,
        cursor=view.cursor,
        split=view.split,
        falls=kind.falls,
        caption=caption if captioned else "",
        floor=_floor_on_chart(kind, view),
    )


def noise_floor(kind: ChartKind, view: View) -> float | None:
    """What an identical pair gives for the figure of a chart; None if that was not measured."""
    found = view.finding(NoiseFloor)
    if found is None or not any(kind.key in row.largest for row in found.rows):
        return None
    return found.floor(kind.key)


def _floor_on_chart(kind: ChartKind, view: View) -> float | None:
    """The place of the noise floor: a cosine's is below 1. A ratio of lengths has one on both sides, so none here."""
    found = noise_floor(kind, view)
    if found is None or kind.key == "h.length_ratio":
        return None
    return 1.0 - found if kind.scale is ScaleKind.COSINE else found


def _extent(lines: Sequence[ChartLine], view: View) -> tuple[float, float]:
    """Smallest and largest value on the axis; the smallest is the larger one if there is no value."""
    if view.window is None:
        return min(line.column.lowest for line in lines), max(line.column.highest for line in lines)
    axis = view.axis
    found = [bounds for line in lines if (bounds := line.column.bounds(axis.first - 1, axis.last)) is not None]
    return min((low for low, _ in found), default=math.inf), max((high for _, high in found), default=-math.inf)


def scale_of(kind: ScaleKind, lowest: float, highest: float, log: bool) -> Scale:
    """The scale of a chart with values between these; `lowest` above `highest` means that there is none."""
    empty = lowest > highest
    match kind:
        case ScaleKind.COSINE:
            return linear_below_one(0.8 if empty else lowest)
        case ScaleKind.SHARE | ScaleKind.CHANCE:
            return Linear(0.0, 1.0)
        case ScaleKind.DIVERGENCE if log:
            return decades(0.001, 1.0) if empty or highest <= 0 else decades(lowest, highest)
    return linear_above_zero(0.0 if empty else highest)
