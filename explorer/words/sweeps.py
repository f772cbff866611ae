"""Sentences on a sweep: up to which setting each task is safe, and how far the sweep is."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.words import numbers
from explorer.words.summary_figures import SUMMARY_FIGURES
from explorer.words.token_text import flowing
from explorer.words.verdict_figures import tenths
from probes.schema.items import TaskKind
from probes.schema.sweep import CellResult, Curve, CurvePoint, Doubt, Held, Removed
from probes.schema.verdict import Outcome

HELD_OF = {Outcome.SAFE: Held.SAFE, Outcome.BROKEN: Held.BROKEN}
SIGNS = {Held.SAFE: "●", Held.UNDECIDED: "○", Held.BROKEN: "✗"}
"""Of the points of a curve, so that they can be read without colours."""
KNEE = "◆"


def family_text(family: str) -> str:
    """What the settings of a curve share: "wanda:…"."""
    return flowing(family.replace("{}", "…"))


def amount_text(point: CurvePoint) -> str:
    """The swept amount, or the whole setting if it has none."""
    return flowing(point.setting) if point.amount is None else f"{point.amount:g}"


def knee_text(curve: Curve) -> str:
    """Up to which amount the task is safe, in a few words."""
    knee, stop = curve.at_knee, curve.stop
    if knee is not None:
        beyond = "" if stop is not None else ", or more"
        return f"safe up to {amount_text(knee)}{beyond}"
    if stop is None:
        return ""
    if stop.held is Held.BROKEN:
        return f"broken at {amount_text(stop)} already"
    return "" if stop.doubt is Doubt.UNJUDGED else f"{stop.doubt or stop.held} at {amount_text(stop)}"


def knees_sentence(curves: Sequence[Curve]) -> str:
    """Up to which setting of one family each task is safe: those that hold longest first."""
    judged = [curve for curve in curves if curve.kind is not None]
    if not judged:
        return ""
    by_knee: dict[int, list[Curve]] = {}
    for curve in judged:
        if curve.knee is not None:
            by_knee.setdefault(curve.knee, []).append(curve)
    parts = [
        f"{amount_text(group[0].points[knee])}{'' if group[0].stop else ' or more'} for {_names(group)}"
        for knee, group in sorted(by_knee.items(), reverse=True)
    ]
    said = f"Safe up to {', '.join(parts)}" if parts else ""
    rest = [curve for curve in judged if curve.knee is None and curve.stop is not None]
    broken = [curve for curve in rest if curve.stop is not None and curve.stop.held is Held.BROKEN]
    undecided = [curve for curve in rest if curve not in broken]
    if broken:
        at = amount_text(broken[0].points[0])
        said += f"; {_names(broken)} broken at {at} already" if said else f"Broken at {at} already: {_names(broken)}"
    if undecided:
        doubts = dict.fromkeys(str(curve.stop.doubt) for curve in undecided if curve.stop and curve.stop.doubt)
        open_ones = f"{_names(undecided)} ({', '.join(doubts)})"
        said += f"; not decided: {open_ones}" if said else f"Not decided: {open_ones}"
    return f"{family_text(judged[0].family)}  {said}."


def cliff_sentence(curves: Sequence[Curve]) -> str:
    """Does generation fall off before the tasks that choose and rank? "" if the knees don't say."""
    steady = [curve for curve in curves if curve.kind not in (None, TaskKind.GENERATION)]
    generated = [curve for curve in curves if curve.kind is TaskKind.GENERATION]
    holding = [curve for curve in steady if curve.knee is not None]
    if not holding or not generated or len(holding) < len(steady):
        return ""
    least = min(holding, key=lambda curve: curve.knee or 0)
    first = [curve for curve in generated if curve.knee is None or curve.knee < (least.knee or 0)]
    if not first or len(first) < len(generated) or least.at_knee is None:
        return ""
    return f"First to give out: {_names(first)}; up to {amount_text(least.at_knee)} everything else is still safe."


def figure_text(curve: Curve) -> str:
    """The figure of a curve with its unit: "accuracy, %", "mean KL a step, nat"."""
    if curve.kind is not None:
        return f"{curve.figure}, %"
    figure = SUMMARY_FIGURES.get(curve.figure)
    return curve.figure if figure is None else f"{figure.label}, {figure.unit}".removesuffix(", ")


def curve_foot(curve: Curve) -> str:
    """The dense score and what guessing would score, for the frame of a chart."""
    parts = [f"dense {tenths(curve.dense)}" if curve.dense is not None else ""]
    parts += [f"guessing {tenths(curve.chance)}" if curve.chance else ""]
    return " · ".join(part for part in parts if part)


def progress_text(done: int, failed: int, running: int, of: int, seconds_left: float | None = None) -> str:
    """How far a sweep is: "41 of 60 cells, 2 running, 1 failed"."""
    parts = [f"{done + failed} of {of} cells" if done + failed < of else f"{of} cells"]
    parts += [f"{running} running" if running else "", f"{failed} failed" if failed else ""]
    parts += [f"{numbers.duration(seconds_left)} left" if seconds_left is not None else ""]
    return ", ".join(part for part in parts if part)


def _names(curves: Sequence[Curve]) -> str:
    names = [flowing(curve.task) for curve in curves]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def removed_sentence(of: Removed) -> str:
    """What a setting removed: "39.4 % of the parameters: 53,000,000 zeros; attn 20, 21 dropped"."""
    parts = [f"{of.zeroed:,} zeros" if of.zeroed else "", f"{', '.join(of.parts)} dropped" if of.parts else ""]
    said = "; ".join(part for part in parts if part)
    return f"{tenths(of.share)} % of the parameters removed{f': {said}' if said else ''}"


def work_sentence(result: CellResult) -> str:
    """Where a cell was computed and what it took: "12.9 s at process 1, after 3 s of pruning; peak 1.3 GB"."""
    pruning = f", after {numbers.duration(result.pruning_seconds)} of pruning" if result.pruning_seconds else ""
    worker = "" if result.worker in ("", "here") else f" in {result.worker}"
    peak = f"; peak {numbers.byte_count(result.peak_bytes)}" if result.peak_bytes else ""
    return f"{numbers.duration(result.seconds)}{worker}{pruning}{peak}"
