"""A panel of one space: its figures at the cursor above its chart over steps; zoomed, all of both side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.app import ComposeResult

from explorer.state.view import View
from explorer.ui.widgets.braille import DASHED, Linear, Scale, decades, linear_above_zero, linear_below_one
from explorer.ui.widgets.chart import Chart, ChartLine, Picture
from explorer.ui.widgets.figure_rows import FigureRow, FigureRows, PanelFigures
from explorer.ui.widgets.line_widget import FramedWidget
from explorer.ui.widgets.repaint_cache import PanelColumn
from explorer.words import numbers
from explorer.words.figures import FIGURES, Scope, text
from probes.schema.summary import Spread, Summary

LEAST_CHART = 5
"""Rows a chart is given before figures get more."""
LEAST_FIGURES = 8
"""Rows of figures where there are as many; a tall panel has more, up to three fifths of its height."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One chart of a panel."""

    key: str
    scale: str
    """"cosine" up to 1, "divergence" by powers of ten or from zero, "above" from zero, "share" from 0 to 1."""
    caption: str
    beside: str = ""
    """A second figure, dotted, where there is no second context to show."""
    beside_caption: str = ""


@dataclass(frozen=True, slots=True)
class Space:
    """What a panel shows."""

    id: str
    title: str
    name: str
    """One word, for a single line."""
    figures: tuple[str, ...]
    drawings: tuple[Drawing, ...]


SPACES = (
    Space(
        "embedding",
        "embedding h",
        "embedding",
        ("h.cos", "h.angle", "h.length_ratio", "h.orthogonal", "h.gap", "h.cos_estimate", "h.ratio", "h.parallel"),
        (
            Drawing("h.cos", "cosine", "cosine of h"),
            Drawing("h.angle", "above", "angle in degrees"),
            Drawing("h.gap", "divergence", "1 − cosine", "h.cos_estimate", "Theorem 1 dotted"),
            Drawing("h.length_ratio", "above", "length ratio"),
        ),
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
        (
            Drawing("z.cos_centred", "cosine", "centred cosine of z", "z.cos", "raw dotted"),
            Drawing("z.rms_centred", "above", "distance, centred rms of Δz"),
            Drawing("z.max_abs", "above", "largest |Δz|"),
        ),
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
        (
            Drawing("p.kl", "divergence", "KL in nats", "p.kl_estimate", "Theorem 3 dotted"),
            Drawing("p.tv", "share", "total variation"),
            Drawing("p.cos", "cosine", "cosine of p"),
            Drawing("p.entropy_dense", "above", "entropy of p in nats", "p.entropy_pruned", "of q dotted"),
        ),
    ),
    Space(
        "accumulated",
        "accumulated",
        "accumulated",
        (),
        (
            Drawing("sum.kl", "above", "ΣKL in nats"),
            Drawing("sum.survival", "share", "survival"),
        ),
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
        """Rows given to the figures; None where their style sheet decides."""
        self._charts = [Chart(classes="chart" if place == 0 else "chart more") for place in range(len(space.drawings))]

    def compose(self) -> ComposeResult:
        yield self._figure_rows
        with PanelColumn(classes="charts"):
            yield from self._charts

    def show(self, view: View) -> None:
        self._view = view
        self._figure_rows.show(panel_figures(self.space, view))
        self._share_height(self._figure_rows)
        self.entitle(
            Text(self.space.title),
            Text(f"steps {view.axis.first}–{min(view.axis.last, view.newest)}" if view.newest else ""),
        )
        zoomed = self.has_class("-zoomed")
        for drawing, chart in zip(self.space.drawings, self._charts, strict=True):
            if chart.display:
                chart.show(picture(drawing, view, captioned=zoomed))

    def on_resize(self) -> None:
        if self._view is not None:
            self.show(self._view)

    def copy_text(self) -> str:
        """All figures of the panel, tab-separated."""
        if self._view is None:
            return ""
        found = panel_figures(self.space, self._view)
        lines = [f"{self.space.title}, step {self._view.cursor}"]
        lines += ["\t".join(part for part in (r.label, r.shared, r.own, r.unit) if part) for r in found.rows]
        return "\n".join(lines)

    def _share_height(self, shown: FigureRows) -> None:
        """Half of a panel for figures, half for the chart; zoomed they stand side by side."""
        height = self.size.height
        wanted = None
        if height > 1 and not self.has_class("-zoomed"):
            lines = len(shown.figures.rows) + shown.figures.diverged if shown.figures else 2
            wanted = max(2, min(lines, height - LEAST_CHART, max(LEAST_FIGURES, height * 3 // 5)))
        if wanted != self._figures:
            self._figures = shown.styles.height = wanted  # even the same height would arrange the screen anew


def panel_figures(space: Space, view: View) -> PanelFigures:
    """The figures of a space at the cursor."""
    diverged = view.diverged
    if space.id == "accumulated":
        return PanelFigures(space.name, _accumulated(view), diverged)
    record = view.record
    found = []
    dotted = "" if diverged else space.drawings[0].beside
    for key in space.figures:
        figure = FIGURES[key]
        shared = text(record, key, Scope.SHARED) if record else numbers.NONE
        own = text(record, key, Scope.OWN) if record and diverged else ""
        arrow = f"{figure.better} ┅" if key == dotted else figure.better.value
        found.append(FigureRow(figure.label, arrow, shared, own, figure.unit))
    return PanelFigures(space.name, tuple(found), diverged)


def _accumulated(view: View) -> tuple[FigureRow, ...]:
    if not view.cursor:
        return tuple(FigureRow(label, arrow, numbers.NONE) for label, arrow in (("ΣKL", "↓"), ("survival", "↑")))
    summary, diverged = view.summary, view.diverged
    significant = numbers.significant
    half = numbers.NONE if summary.half_life is None else significant(summary.half_life)
    scores = (
        FigureRow("ppl dense", "", significant(summary.perplexity_dense)),
        FigureRow("ppl pruned", "↓", significant(summary.perplexity_pruned)),
        FigureRow("NLL dense", "", significant(summary.nll_dense), unit="nat"),
        FigureRow("NLL pruned", "↓", significant(summary.nll_pruned), unit="nat"),
    )
    found = [
        *(scores if view.scores else ()),
        *_sums(summary, diverged),
        FigureRow("survival", "↑", numbers.chance(summary.survival)),
        FigureRow("half-life", "↑", half, unit="tok"),
        FigureRow("same top-1", "↑", own=numbers.percent(summary.agree_rate)),
        FigureRow("ppl ratio", "↓", numbers.times(summary.perplexity_ratio)),
        FigureRow("first split", "↑", own=f"{summary.first_split}" if summary.first_split else "none"),
        FigureRow("longest run", "↑", own=f"{summary.longest_agreement}", unit="tok"),
    ]
    shared, own = summary.kl_shared, summary.kl
    for label, name in (
        ("KL mean", "mean"),
        ("median", "median"),
        ("90 %", "p90"),
        ("99 %", "p99"),
        ("largest", "max"),
    ):
        here = significant(getattr(shared, name)) if shared else numbers.NONE
        there = significant(getattr(own, name)) if own else numbers.NONE
        found.append(FigureRow(label, "↓", here, there if diverged else "", "nat"))
    if not view.scores:
        found += scores
    found.append(FigureRow("rms p − q", "↓", significant(summary.rms_p_minus_q)))
    if summary.invalid:
        found.append(FigureRow("invalid steps", "↓", own=f"{summary.invalid}"))
    return tuple(found)


def _sums(summary: Summary, diverged: bool) -> list[FigureRow]:
    """ΣKL; in a diverged run with its drift, which is of the same steps as the two sums that stand above it."""
    shared, own = numbers.significant(summary.kl_shared_sum), numbers.significant(summary.kl_sum)
    if not diverged:
        return [FigureRow("ΣKL", "↓", shared, unit="nat")]
    drift = FigureRow("drift", "↓", own=numbers.significant(summary.drift), unit="nat")
    if _count(summary.kl) == _count(summary.kl_shared):
        return [FigureRow("ΣKL", "↓", shared, own, "nat"), drift]
    both = FigureRow("while both", "↓", numbers.significant(summary.kl_shared_both), own, "nat")
    return [FigureRow("ΣKL", "↓", shared, unit="nat"), both, drift]


def _count(spread: Spread | None) -> int:
    return spread.count if spread is not None else 0


def picture(drawing: Drawing, view: View, *, captioned: bool = False) -> Picture:
    """The chart of a figure over the whole path: shared alone, or shared over own where the texts have diverged."""
    columns, caption = view.columns, drawing.caption
    lines = [ChartLine(columns.get(drawing.key, Scope.SHARED), "shared")]
    if drawing.key == "sum.survival":
        pass
    elif view.diverged:
        lines.append(ChartLine(columns.get(drawing.key, Scope.OWN), "own", DASHED))
    elif drawing.beside:
        lines.append(ChartLine(columns.get(drawing.beside, Scope.SHARED), "muted", DASHED))
        caption += f", {drawing.beside_caption}"
    lowest, highest = _extent(lines, view)
    return Picture(
        lines=tuple(lines),
        axis=view.axis,
        scale=scale_of(drawing.scale, lowest, highest, view.log_scale),
        steps=view.newest,
        cursor=view.cursor,
        split=view.split,
        falls=drawing.scale == "cosine" or drawing.key == "sum.survival",
        caption=caption if captioned else "",
    )


def _extent(lines: Sequence[ChartLine], view: View) -> tuple[float, float]:
    """Smallest and largest value on the axis; the wrong way round where there is none."""
    if view.window is None:
        return min(line.column.lowest for line in lines), max(line.column.highest for line in lines)
    axis = view.axis
    found = [bounds for line in lines if (bounds := line.column.bounds(axis.first - 1, axis.last)) is not None]
    return min((low for low, _ in found), default=math.inf), max((high for _, high in found), default=-math.inf)


def scale_of(kind: str, lowest: float, highest: float, log: bool) -> Scale:
    """The scale of a chart whose values lie between these; the wrong way round says that there are none."""
    empty = lowest > highest
    match kind:
        case "cosine":
            return linear_below_one(0.8 if empty else lowest)
        case "share":
            return Linear(0.0, 1.0)
        case "divergence" if log:
            return decades(0.001, 1.0) if empty or highest <= 0 else decades(lowest, highest)
    return linear_above_zero(0.0 if empty else highest)
