"""Makes the figures as plain data: the curves of each panel, its unit, and the caption.

Nothing here draws; `explorer.recordings.export.matplotlib_figures` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from explorer.recordings.comparison import labels_of
from explorer.recordings.export.captions import about
from explorer.recordings.export.panels import Curve, HeatMap, Material, Panel, PrintFigure, Scatter, Subject
from explorer.recordings.export.series import series
from explorer.recordings.export.several import unlike
from explorer.words.charts import CHARTS, charts
from explorer.words.figures import Scope
from explorer.words.token_text import flowing
from explorer.words.watched import label_text
from probes.recording import RecordedRun, Recording
from probes.schema.explanation import Layers
from probes.schema.part import SUBLAYERS


def material(recordings: Sequence[Recording], *, own: bool = False) -> Material:
    """The shown path of each recording's last run."""
    runs = [recording.run for recording in recordings]
    labels = labels_of([recording.path for recording in recordings], runs)
    subjects = (
        Subject(flowing(label), run.header, run.path, layers_of(run)) for label, run in zip(labels, runs, strict=True)
    )
    return Material(tuple(subjects), own, unlike(recordings))


def layers_of(run: RecordedRun) -> dict[int, Layers]:
    """By step of the shown path, its figures by layer, if they were recorded."""
    return {event.step: event.found for event in run.explained_path() if isinstance(event.found, Layers)}


def print_figure(name: str, of: Material) -> PrintFigure | str:
    """The figure of that name, or a sentence that says why there is none. Raises KeyError if the name is unknown."""
    made = _MAKERS[name](of)
    if isinstance(made, str):
        return made
    columns, panels, caption = made
    return PrintFigure(name, columns, tuple(panels), f"{caption} {about(name, of, panels)}", of.subjects)


_Made = tuple[int, list[Panel | Scatter | HeatMap], str]


def curves(
    of: Material, key: str, label: str = "", *, variant: int = 0, scope: Scope | None = None, square: bool = False
) -> tuple[Curve, ...]:
    """One figure of every recording; without a label of their own, several are labelled with the recordings."""
    found = []
    for place, subject in enumerate(of.subjects):
        values = series(subject.records, key, scope or of.scope)
        if square:
            values = [None if one is None else one * one for one in values]
        name = label or ("" if len(of.subjects) == 1 else subject.label)
        found.append(Curve(name, tuple(values), place, variant))
    return tuple(found)


def _panel(of: Material, key: str, *, unit: str = "", guide: float | None = None) -> Panel:
    """A panel with one figure of every recording, as the catalogue describes it."""
    chart = CHARTS[key]
    return Panel(chart.axis, curves(of, key), unit or chart.unit, chart.log, chart.ceiling, guide)


def _cosines(of: Material) -> _Made:
    cosines = charts("h.cos", "z.cos_centred", "z.cos")
    caption = (
        "Cosine similarity of the dense and the pruned model's hidden states before the LM head (cos h) and of their "
        "logits (cos z; centred: after the mean of each vector is taken away, which is what softmax sees; raw: as they "
        "are)."
    )
    if len(of.subjects) == 1:
        found = [one for place, chart in enumerate(cosines) for one in curves(of, chart.key, chart.axis, variant=place)]
        return 1, [Panel("cosine similarity", tuple(found), ceiling=1.0)], caption
    return 1, [_panel(of, chart.key) for chart in cosines], caption


def _probability(of: Material) -> _Made:
    return (
        1,
        [_panel(of, "p.cos"), _panel(of, "p.kl")],
        (
            "Cosine similarity of the dense and the pruned model's next-token probabilities p and q (above), and "
            "Kullback–Leibler divergence KL(p‖q) with the dense model as reference (below)."
        ),
    )


def _estimates(of: Material) -> _Made:
    over: list[Panel | Scatter | HeatMap] = []
    against: list[Panel | Scatter | HeatMap] = []
    for chart in charts("p.kl", "p.gap", "h.gap"):
        measured = curves(of, chart.key, "measured")
        estimated = curves(of, chart.beside, "second-order estimate", variant=1)
        over.append(Panel(chart.axis, measured + estimated, chart.unit, log=chart.log, paired=True))
        against.append(_scatter(chart.axis, measured, estimated, chart.unit))
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
    panels: list[Panel | Scatter | HeatMap] = [
        *(_panel(of, key) for key in ("h.cos", "z.cos_centred", "p.cos")),
        _panel(of, "z.rms", unit="logits"),
        Panel("Var Δz", curves(of, "z.rms_centred", square=True), "logits²"),
        _panel(of, "p.kl"),
    ]
    return (
        3,
        panels,
        (
            "The effect of pruning at each decoding step: cosine similarity in embedding (h), logit (z, centred) and "
            "probability space (p); root mean square and variance over the vocabulary of the logit change Δz; KL(p‖q)."
        ),
    )


def _drift(of: Material) -> _Made | str:
    if not of.free:
        return "No figure of shared against own: both models read the same text throughout, so the two are one."
    panels: list[Panel | Scatter | HeatMap] = []
    for chart in charts("p.kl", "sum.kl"):
        shared = curves(of, chart.key, "shared", scope=Scope.SHARED)
        own = curves(of, chart.key, "own", variant=1, scope=Scope.OWN)
        panels.append(Panel(chart.axis, shared + own, chart.unit, log=True, paired=True))
    return (
        1,
        panels,
        (
            "KL(p‖q) at each step (above) and summed over the steps so far (below). Shared: both models on the dense "
            "model's text, the effect of pruning alone. Own: each model on its own text; the difference is drift, "
            "which begins where the texts diverge."
        ),
    )


def _sums(of: Material) -> _Made:
    panels: list[Panel | Scatter | HeatMap] = [_panel(of, "sum.kl"), _panel(of, "sum.survival", guide=0.01)]
    texts = "Both models read one text."
    if of.own and of.free:
        texts = (
            "ΣKL is of each model on its own text; survival is of one text under both models, and is taken on "
            "the dense model's (shared)."
        )
    return (
        1,
        panels,
        (
            "KL(p‖q) summed over the steps so far (above), and survival Π(1 − TV), the chance that two samplers "
            f"coupled as well as possible would still have written the same text (below; the thin line is 1 %). {texts}"
        ),
    )


def _layers(of: Material) -> _Made | str:
    drawn = [subject for subject in of.subjects if any(found.rows for found in subject.layers.values())]
    if not drawn:
        return "No figure of layers: no step was explained. Open the models on it, or use phier explain --record."
    panels: list[Panel | Scatter | HeatMap] = []
    for subject in drawn:
        named = f"{subject.label}, " if len(of.subjects) > 1 else ""
        rows = [row for found in subject.layers.values() for row in found.rows]
        alike = [("same input", "same_input")] if any(row.same_input is not None for row in rows) else []
        for title, kind in (*alike, ("accumulated", "accumulated")):
            panels.append(_heat_map(subject, f"{named}{title}", kind))
    return (
        1,
        panels,
        (
            "KL(p‖q) of the residual stream after every sublayer, read through the final norm and the LM head, at the "
            "steps that were explained. Same input: the pruned sublayer against the dense one on the dense model's "
            "input and cache, which is what this sublayer does alone. Accumulated: the two models' streams, each from "
            "its own run. The lightest shade also holds what is below a millionth of the "
            "largest value. White: exactly 0. Grey: not explained. Black: infinite or undefined."
        ),
    )


def _watched(of: Material) -> _Made | str:
    watches = {subject.header.settings.watch for subject in of.subjects}
    if watches == {()}:
        return "No figure of watched tokens: none were watched. --watch names them."
    if len(watches) > 1:
        return "No figure of watched tokens: the recordings watch different ones."
    (groups,) = watches
    panels: list[Panel | Scatter | HeatMap] = []
    for place, group in enumerate(groups):
        dense = curves(of, f"watched.{place}.p", "dense p")
        pruned = curves(of, f"watched.{place}.q", "pruned q", variant=1)
        panels.append(Panel(label_text(group.label), dense + pruned, ceiling=1.0, paired=True))
    if len(groups) > 1:
        panels.append(Panel("KL(p̂‖q̂)", curves(of, "watched.kl"), "nat", log=True))
    return (
        1,
        panels,
        (
            "The probability of watched tokens in both models; that of a group of tokens is their sum. Last, if "
            "several groups are watched, KL(p̂‖q̂) of the two distributions among these groups alone."
        ),
    )


def _heat_map(subject: Subject, title: str, kind: str) -> HeatMap:
    rows = [(step, row) for step, found in subject.layers.items() for row in found.rows if row.sublayer in SUBLAYERS]
    figures = [(step, row, getattr(row, kind)) for step, row in rows]
    kl = {(step, row.layer, row.sublayer): found.p.kl for step, row, found in figures if found is not None}
    places = sorted({(row.layer, SUBLAYERS.index(row.sublayer)) for _, row in rows})
    names = [(layer, SUBLAYERS[place]) for layer, place in places]
    steps = range(1, len(subject.records) + 1)
    values = tuple(tuple(kl.get((step, *name)) for step in steps) for name in names)
    return HeatMap(title, "nats", tuple(f"{sublayer} {layer}" for layer, sublayer in names), values, subject.split)


_MAKERS: dict[str, Callable[[Material], _Made | str]] = {
    "cosines": _cosines,
    "probability": _probability,
    "estimates": _estimates,
    "panels": _panels,
    "drift": _drift,
    "sums": _sums,
    "layers": _layers,
    "watched": _watched,
}
FIGURE_NAMES = tuple(_MAKERS)
"""The figures there are."""
