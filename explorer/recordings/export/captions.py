"""The end of a figure's caption: the runs in it, how they differ, and the marks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from explorer.recordings.export.panels import HeatMap, Material, Panel, Scatter, Subject
from explorer.words.token_text import flowing
from probes.schema.header import RunHeader
from probes.schema.settings import Follow

_CONTEXT = {
    Follow.DENSE: "on the dense model's text",
    Follow.PRUNED: "on the pruned model's text",
    Follow.FREE: "each writing its own text",
    Follow.TEXT: "on a given text",
}


def about(name: str, of: Material, panels: Sequence[Panel | Scatter | HeatMap]) -> str:
    """The end of a caption: the models and how they were run, the text the figures are of, and the marks."""
    parts = [_who(of.subjects), *of.warnings]
    if of.free and name not in ("drift", "sums", "layers"):
        parts.append(
            "Each model on its own text." if of.own else "Both models on the dense model's text (shared figures)."
        )
    if any(subject.split is not None for subject in of.subjects):
        parts.append("Dotted vertical line: the first step at which the two choices differ.")
    parts.append(_marks(panels))
    return " ".join(part for part in parts if part)


def _who(subjects: Sequence[Subject]) -> str:
    """Each dense model with its prunings, and how they were run: once if that is the same for all."""
    headers = [subject.header for subject in subjects]
    hows = [_how(header) for header in headers]
    models = [_pruned(header) for header in headers]
    if len(set(hows)) > 1:
        models = [f"{model}, {how}" for model, how in zip(models, hows, strict=True)]
    dense = _dense(headers)
    if len(set(dense)) > 1:
        models_in_words = "; ".join(f"{one} against {model}" for one, model in zip(dense, models, strict=True))
    else:
        models_in_words = f"{dense[0]} against {'; '.join(models)}"
    return f"{models_in_words}{f'; {hows[0]}' if len(set(hows)) == 1 else ''}."


def _how(header: RunHeader) -> str:
    settings = header.settings
    return f"{_CONTEXT[settings.follow]}, {settings.sampling}, T\u00a0=\u00a0{settings.analysis_t:g}"


def _pruned(header: RunHeader) -> str:
    return flowing(header.title) + (f" ({header.prune.summary})" if header.prune else "")


def _dense(headers: Sequence[RunHeader]) -> list[str]:
    """The dense models' names, with the beginning of the weights' hash if several have one name."""
    found = []
    for header in headers:
        prints = {other.dense.fingerprint for other in headers if other.dense.name == header.dense.name}
        which = f" (weights {header.dense.fingerprint[:8] or 'unknown'})" if len(prints) > 1 else ""
        found.append(flowing(header.dense.name + which))
    return found


def _marks(panels: Sequence[Panel | Scatter | HeatMap]) -> str:
    """Explains the marks, if there are any."""
    over = [panel for panel in panels if isinstance(panel, Panel)]
    values = [one for panel in over for curve in panel.curves for one in curve.values if one is not None]
    found, edge = [], []
    if any(panel.end(curve) for panel in over for curve in panel.curves):
        found.append("■\u00a0at the end of a curve: the last step with such a figure.")
    if any(math.isinf(one) for one in values):
        edge.append("△\u00a0infinite")
    if any(math.isnan(one) for one in values):
        edge.append("×\u00a0undefined")
    if any(one == 0 for panel in over if panel.powers for c in panel.curves for one in c.values):
        edge.append("▽\u00a0exactly\u00a00")
    if edge:
        found.append(f"Marks at the edge: {', '.join(edge)}.")
    if left_out := sum(panel.left_out for panel in panels if isinstance(panel, Scatter)):
        steps = "1 step is" if left_out == 1 else f"{left_out} steps are"
        found.append(f"{steps} 0 or not finite and not among the points.")
    return " ".join(found)
