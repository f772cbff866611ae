"""What the figures show, as plain data: which curves stand in which panel, in which unit, with which caption.

Nothing here draws; `explorer.export.figures` does, for print, and `explorer.export.page`, for a browser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explorer.compare import labels_of
from explorer.display import flowing
from explorer.figures import Scope, value
from probes.header import RunHeader
from probes.record import StepRecord
from probes.session import Session
from probes.settings import Follow


@dataclass(frozen=True, slots=True)
class Subject:
    """One recording that is drawn."""

    label: str
    header: RunHeader
    records: Sequence[StepRecord]

    @property
    def split(self) -> int | None:
        return self.records[-1].sum.first_split


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the steps of one recording."""

    label: str
    values: tuple[float | None, ...]
    """Index 0 is step 1; None where a step has no such figure. May be infinite or undefined."""
    subject: int
    """Which recording it is of."""
    variant: int = 0
    """Tells curves of one recording in one panel apart: 0 is the main one."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that share an axis."""

    axis: str
    """What is drawn, as the axis says it: "cos h"."""
    curves: tuple[Curve, ...]
    unit: str = ""
    log: bool = False
    """By powers of ten where the values span more than a factor of thirty."""
    ceiling: float | None = None
    """A bound no value can pass, which the axis then ends at."""
    guide: float | None = None
    """A value that a thin line marks."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """One figure against another, a point a step, both axes by powers of ten, with the line where they are equal."""

    across: str
    up: str
    unit: str
    points: tuple[tuple[tuple[float, float], ...], ...]
    """For each recording the points that can stand on such axes: both positive and finite."""
    left_out: int
    """Points that can't."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure."""

    name: str
    columns: int
    panels: tuple[Panel | Scatter, ...]
    """Row by row."""
    caption: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What all figures of one export are made from."""

    subjects: tuple[Subject, ...]
    total: bool = False
    """Each model on its own context in place of both on the shared one."""

    @property
    def scope(self) -> Scope:
        return Scope.TOTAL if self.total else Scope.LOCAL

    @property
    def free(self) -> bool:
        """True where local and total differ in any of the recordings."""
        return any(not record.same_context for subject in self.subjects for record in subject.records)


def material(sessions: Sequence[Session], *, total: bool = False) -> Material:
    """The shown path of each recording's last run."""
    runs = [session.last for session in sessions]
    labels = labels_of([session.path for session in sessions], runs)
    return Material(
        tuple(Subject(flowing(label), run.header, run.path) for label, run in zip(labels, runs, strict=True)), total
    )


def drawing(name: str, of: Material) -> Drawing | str:
    """The figure of that name, or a sentence that says why there is none. Raises KeyError where `NAMES` has no such."""
    made = _MAKERS[name](of)
    if isinstance(made, str):
        return made
    columns, panels, caption = made
    return Drawing(name, columns, tuple(panels), f"{caption} {_about(name, of, panels)}", of.subjects)


_Made = tuple[int, list[Panel | Scatter], str]


def curves(
    of: Material, key: str, label: str = "", *, variant: int = 0, scope: Scope | None = None, square: bool = False
) -> tuple[Curve, ...]:
    """One figure of every recording, labelled with the recording where there are several."""
    found = []
    for place, subject in enumerate(of.subjects):
        values = [value(record, key, scope or of.scope) for record in subject.records]
        if square:
            values = [None if one is None else one * one for one in values]
        name = label if len(of.subjects) == 1 else f"{subject.label}, {label}" if label else subject.label
        found.append(Curve(name, tuple(values), place, variant))
    return tuple(found)


def _cosines(of: Material) -> _Made:
    hidden = curves(of, "h.cos", "cos h")
    centred = curves(of, "z.cos_centred", "cos z, centred", variant=1)
    raw = curves(of, "z.cos", "cos z, raw", variant=2)
    caption = (
        "Cosine similarity of the dense and the pruned model's hidden states before the LM head (cos h) and of their "
        "logits (cos z; centred: after the mean of each vector is taken away, which is what softmax sees; raw: as they "
        "are)."
    )
    if len(of.subjects) == 1:
        return 1, [Panel("cosine similarity", hidden + centred + raw, ceiling=1.0)], caption
    alike = [curves(of, key) for key in ("h.cos", "z.cos_centred", "z.cos")]
    names = ("cos h", "cos z, centred", "cos z, raw")
    return 1, [Panel(name, found, ceiling=1.0) for name, found in zip(names, alike, strict=True)], caption


def _probability(of: Material) -> _Made:
    panels: list[Panel | Scatter] = [
        Panel("cos p", curves(of, "p.cos"), ceiling=1.0),
        Panel("KL(p‖q)", curves(of, "p.kl"), "nat", log=True),
    ]
    return (
        1,
        panels,
        (
            "Cosine similarity of the dense and the pruned model's next-token probabilities p and q (above), and "
            "Kullback–Leibler divergence KL(p‖q) with the dense model as reference (below)."
        ),
    )


_ESTIMATES = (
    ("KL(p‖q)", "p.kl", "p.kl_estimate", "nat"),
    ("1 − cos p", "p.gap", "p.cos_estimate", ""),
    ("1 − cos h", "h.gap", "h.cos_estimate", ""),
)


def _estimates(of: Material) -> _Made:
    over: list[Panel | Scatter] = []
    against: list[Panel | Scatter] = []
    for axis, true, estimate, unit in _ESTIMATES:
        measured = curves(of, true, "measured")
        estimated = curves(of, estimate, "second-order estimate", variant=1)
        over.append(Panel(axis, measured + estimated, unit, log=True))
        against.append(_scatter(axis, measured, estimated, unit))
    return (
        3,
        over + against,
        (
            "KL(p‖q), 1 − cos p and 1 − cos h as measured, with their second-order estimates Varₚ(Δz)/(2T²), "
            "Varᵣ(Δz)/(2T²) with r ∝ p², and ‖Δh⊥‖²/(2‖h‖²): over steps (above), and one against the other, a point a "
            "step, with the line of equality (below). The estimates hold for small changes."
        ),
    )


def _scatter(axis: str, measured: Sequence[Curve], estimated: Sequence[Curve], unit: str) -> Scatter:
    points, left_out = [], 0
    for true, estimate in zip(measured, estimated, strict=True):
        pairs = [(e, t) for e, t in zip(estimate.values, true.values, strict=True) if e is not None and t is not None]
        kept = [(e, t) for e, t in pairs if 0 < e < math.inf and 0 < t < math.inf]
        left_out += len(pairs) - len(kept)
        points.append(tuple(kept))
    return Scatter("estimate", axis, unit, tuple(points), left_out)


def _panels(of: Material) -> _Made:
    panels: list[Panel | Scatter] = [
        Panel("cos h", curves(of, "h.cos"), ceiling=1.0),
        Panel("cos z, centred", curves(of, "z.cos_centred"), ceiling=1.0),
        Panel("cos p", curves(of, "p.cos"), ceiling=1.0),
        Panel("rms Δz", curves(of, "z.rms"), "logits"),
        Panel("Var Δz", curves(of, "z.rms_centred", square=True), "logits²"),
        Panel("KL(p‖q)", curves(of, "p.kl"), "nat", log=True),
    ]
    return (
        3,
        panels,
        (
            "What pruning did at each decoding step: cosine similarity in embedding (h), logit (z, centred) and "
            "probability space (p); root mean square and variance over the vocabulary of the logit change Δz; KL(p‖q)."
        ),
    )


def _drift(of: Material) -> _Made | str:
    if not of.free:
        return "No figure of local against total: both models read the same text throughout, so the two are one."
    both = {
        key: curves(of, key, "local", scope=Scope.LOCAL) + curves(of, key, "total", variant=1, scope=Scope.TOTAL)
        for key in ("p.kl", "sum.kl")
    }
    panels: list[Panel | Scatter] = [
        Panel("KL(p‖q)", both["p.kl"], "nat", log=True),
        Panel("ΣKL", both["sum.kl"], "nat", log=True),
    ]
    return (
        1,
        panels,
        (
            "KL(p‖q) at each step (above) and summed over the steps so far (below). Local: both models on the dense "
            "model's text, the effect of pruning alone. Total: each model on its own text; the difference is drift, "
            "which begins where the texts part."
        ),
    )


def _sums(of: Material) -> _Made:
    panels: list[Panel | Scatter] = [
        Panel("ΣKL", curves(of, "sum.kl", scope=Scope.LOCAL), "nat"),
        Panel("survival", curves(of, "sum.survival"), log=True, ceiling=1.0, guide=0.01),
    ]
    return (
        1,
        panels,
        (
            "KL(p‖q) summed over the steps so far (above), and survival Π(1 − TV), the chance that two samplers "
            "coupled as well as possible would still have written the same text (below; the thin line is 1 %). Both "
            "models on one text."
        ),
    )


_MAKERS: dict[str, Callable[[Material], _Made | str]] = {
    "cosines": _cosines,
    "probability": _probability,
    "estimates": _estimates,
    "panels": _panels,
    "drift": _drift,
    "sums": _sums,
}
NAMES = tuple(_MAKERS)
"""The figures there are."""


def _about(name: str, of: Material, panels: Sequence[Panel | Scatter]) -> str:
    """What a caption says of the runs and of the marks in it."""
    parts = [_who(of.subjects)]
    if of.free and name not in ("drift", "sums"):
        parts.append(
            "Each model on its own text." if of.total else "Both models on the dense model's text (local figures)."
        )
    if any(subject.split is not None for subject in of.subjects):
        parts.append("Dotted vertical line: the first step at which the two choices differ.")
    parts.append(_marks(panels))
    return " ".join(part for part in parts if part)


def _who(subjects: Sequence[Subject]) -> str:
    first = subjects[0].header
    settings = first.settings
    models = "; ".join(
        f"{flowing(subject.header.title)}{f' ({subject.header.prune.summary})' if subject.header.prune else ''}"
        for subject in subjects
    )
    context = {
        Follow.DENSE: "on the dense model's text",
        Follow.PRUNED: "on the pruned model's text",
        Follow.FREE: "each writing its own text",
        Follow.TEXT: "on a given text",
    }
    how = [context[settings.follow], str(settings.sampling), f"T\u00a0=\u00a0{settings.analysis_t:g}"]
    told = {
        (one.header.settings.follow, str(one.header.settings.sampling), one.header.settings.analysis_t)
        for one in subjects
    }
    end = f"; {', '.join(how)}." if len(told) == 1 else "; contexts or samplers differ, see the legend."
    return f"{flowing(first.dense.name)} against {models}{end}"


def _marks(panels: Sequence[Panel | Scatter]) -> str:
    """Explains the marks at the edges where there are any."""
    over = [panel for panel in panels if isinstance(panel, Panel)]
    values = [one for panel in over for curve in panel.curves for one in curve.values if one is not None]
    found = []
    if any(math.isinf(one) for one in values):
        found.append("△\u00a0infinite")
    if any(math.isnan(one) for one in values):
        found.append("×\u00a0undefined")
    if any(one == 0 for panel in over if powers(panel) for c in panel.curves for one in c.values):
        found.append("▽\u00a0exactly\u00a00")
    left_out = sum(panel.left_out for panel in panels if isinstance(panel, Scatter))
    marks = f"Marks at the edge: {', '.join(found)}." if found else ""
    if left_out:
        steps = "1 step is" if left_out == 1 else f"{left_out} steps are"
        marks += f" {steps} 0 or not finite and not among the points."
    return marks.strip()


def powers(panel: Panel) -> bool:
    """True where the panel's axis goes by powers of ten."""
    seen = [one for curve in panel.curves for one in curve.values if one is not None and 0 < one < math.inf]
    return panel.log and len(seen) > 0 and max(seen) > 30 * min(seen)
