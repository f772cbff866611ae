"""Writes the figures of a verdict: shares in percent, differences in points, intervals, the sign of an outcome."""

from __future__ import annotations

from explorer.words import numbers
from probes.schema.passages import Order
from probes.schema.verdict import FurtherFigure, Interval, Outcome, Verdict

OUTCOME_SIGNS = {
    Outcome.SAFE: "✓",
    Outcome.BROKEN: "✗",
    Outcome.BORDERLINE: "≈",
    Outcome.TOO_FEW: "…",
    Outcome.NOTHING_TO_LOSE: "○",
}
"""One for each outcome, so that it can be read without colours."""

ORDER_NAMES: dict[Order, str] = {
    "mean_kl": "mean KL",
    "max_kl": "largest KL",
    "first_split": "first split",
    "dp": "Δp",
    "rank_change": "rank change",
}
"""Orders of passages, as people choose them."""


def outcome_text(outcome: Outcome) -> str:
    """ "✓ safe"."""
    return f"{OUTCOME_SIGNS[outcome]} {outcome.value}"


def outcomes_sentence(verdict: Verdict) -> str:
    """The tasks that are scored whole, by outcome: "safe: facts, tone; too few items: answers"."""
    by_outcome = {
        one: [row.task for row in verdict.rows if row.items and row.final and row.outcome is one] for one in Outcome
    }
    return "; ".join(f"{one.value}: {', '.join(tasks)}" for one, tasks in by_outcome.items() if tasks)


def tenths(share: float) -> str:
    """A share in percent with one decimal, without its unit: 71.2."""
    return numbers.odd(share) or f"{100 * share:.1f}"


def signed_tenths(difference: float) -> str:
    """A difference of shares in points with one decimal, without its unit: −12.5."""
    if name := numbers.odd(difference):
        return name
    text = f"{100 * difference:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def whole_interval(interval: Interval) -> str:
    """The ends of an interval of a share, in whole percents: 61–80."""
    return f"{100 * interval.low:.0f}–{100 * interval.high:.0f}"


def signed_interval(interval: Interval) -> str:
    """The ends of an interval of a difference, in points: −21…−4."""
    return f"{_points(interval.low)}…{_points(interval.high)}"


def further_difference(figure: FurtherFigure, difference: Interval) -> str:
    """The difference of a further figure with its interval: −3.1 points (−7…+1)."""
    if figure.unit == "share":
        return f"{signed_tenths(difference.value)} points ({signed_interval(difference)})"
    return f"{_signed(difference.value)} ({_signed(difference.low)}…{_signed(difference.high)})"


def margin_text(margin: float) -> str:
    """A margin in points: "2 points"."""
    points = f"{100 * margin:g}"
    return f"{points} point{'' if points == '1' else 's'}"


def p_value(value: float | None) -> str:
    """A p-value in few characters."""
    if value is None:
        return numbers.NONE
    if value < 1e-4:
        return "<1e-4"
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}"


def loss(value: float | None) -> str:
    """1 − cosine, in few characters."""
    if value is None:
        return numbers.NONE
    if 0 < value < 0.001:
        return "<.001"
    return numbers.odd(value) or f"{value:.3f}"


def _points(value: float) -> str:
    text = f"{100 * value:+.0f}".replace("-", "−")
    return "0" if text in ("+0", "−0") else text


def _signed(value: float) -> str:
    text = numbers.significant(value, 2)
    return f"+{text}" if value > 0 else text
