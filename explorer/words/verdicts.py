"""Sentences on a verdict: whether a task is safe, and whether stable answers survive where generation breaks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from explorer.words import numbers
from probes.schema.items import TaskKind
from probes.schema.verdict import MOST_NEEDED, FurtherFigure, Outcome, TaskVerdict, Verdict

UNDECIDED = (Outcome.TOO_FEW, Outcome.BORDERLINE)


def points(value: float) -> str:
    """A share in points, without its sign: "1.3 points", "31 points"."""
    text = _hundredths(value)
    return f"{text} point{'' if text == '1' else 's'}"


def score(value: float) -> str:
    """A share as a percentage: "87 %", "2.5 %"."""
    return f"{_hundredths(value)} %"


def signed_points(value: float) -> str:
    """A difference of shares: "+1.3", "−31", "0"."""
    text = _hundredths(value)
    return text if text == "0" else f"{'−' if value < 0 else '+'}{text}"


def needed_about(count: int) -> int:
    """About how many: two digits, rounded up."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return math.ceil(count / unit) * unit


def needed_items(count: int) -> str:
    """The same as text: "2,800"."""
    return f"{needed_about(count):,}"


def further_value(figure: FurtherFigure, value: float | None) -> str:
    """A further figure as people read it."""
    if value is None:
        return "not reached"
    match figure.unit:
        case "share":
            return score(value)
        case "nat":
            return f"{numbers.significant(value)} nat"
        case "tokens":
            return f"{value:.3g} token{'' if value == 1 else 's'}"
    return numbers.cosine(value)


def interval_text(value: float, low: float, high: float, *, signed: bool = False) -> str:
    """A score in hundredths with its interval: "92 (84–96)"; a difference with signs: "−20 (−30…−11)"."""
    write, between = (signed_points, "…") if signed else (_hundredths, "–")
    return f"{write(value)} ({write(low)}{between}{write(high)})"


def p_text(value: float | None) -> str:
    """The p of a test: "0.021", "<0.0001"; a dash if there is none."""
    if value is None:
        return numbers.NONE
    return "<0.0001" if value < 1e-4 else f"{value:.2g}"


def row_sentence(row: TaskVerdict, margin: float, level: float) -> str:
    """What the items say about one task, in one sentence or two."""
    if not row.items:
        return "Not scored yet."
    said = _said(row, margin, level)
    return said if row.final else f"So far, with {row.items} of {row.of} items: {said[0].lower()}{said[1:]}"


def _said(row: TaskVerdict, margin: float, level: float) -> str:
    low, value, high = row.difference.low, row.difference.value, row.difference.high
    sure = f"with {100 * level:g} % confidence"
    match row.outcome:
        case Outcome.SAFE:
            if low >= 0:
                return f"Safe: the pruned model is no worse ({sure})."
            return f"Safe: it loses at most {points(low)} ({sure}), within the margin of {100 * margin:g}."
        case Outcome.BROKEN:
            only = f"; {row.lost} items are right only in the dense model, {row.gained} only in the pruned one"
            return f"Broken: it loses {points(value)}, at least {_hundredths(high)} ({sure}){only if row.lost else ''}."
        case Outcome.NOTHING_TO_LOSE:
            chance = f"the {score(row.chance)} of guessing" if row.chance else "zero"
            return f"Nothing to lose: the dense model's {score(row.dense.value)} are not above {chance}."
        case Outcome.BORDERLINE:
            near = f"Borderline: the estimate, {signed_points(value)}, is so near the margin of −{100 * margin:g}"
            return f"{near} that more than {MOST_NEEDED:,} items would be needed."
    if row.items_needed is None:
        return "Too few items."
    if row.dense.low <= row.chance:
        why = "the dense model's score can't be told from guessing yet"
        return f"Too few items: {why}; about {needed_items(row.items_needed)} would do{_beyond(row)}."
    estimate = "no item differs" if not row.lost + row.gained and not value else _changes(value)
    may = f"but a loss of up to {points(low)} is possible ({sure})"
    enough = math.ceil(round(-100 * low, 6))
    wider = f", or a margin of {enough} points" if row.final and enough < 100 else ""
    beyond = _beyond(row, wider)
    return f"Too few items: {estimate}, {may}; about {needed_items(row.items_needed)} would decide it{beyond}."


def _beyond(row: TaskVerdict, wider: str = "") -> str:
    """That the set has fewer items than are needed, if it has; `wider` is what would do besides a larger one."""
    needed = needed_about(row.items_needed or 0)
    return f", and the set has {row.of}: a larger one would{wider}" if needed > row.of else ""


def _changes(value: float) -> str:
    if _hundredths(value) == "0":
        return "it neither gains nor loses"
    return f"it {'loses' if value < 0 else 'gains'} {points(value)}"


def claim_sentence(found: Verdict) -> str:
    """Does this setting show what pruning is said to do: options, classification and retrieval survive, generation
    breaks? Says so honestly if it doesn't, if the items can't say, or if the tasks don't cover both sides."""
    if not found.final or not found.rows:
        return ""
    steady = [row for row in found.rows if row.kind is not TaskKind.GENERATION and _testable(row)]
    generated = [row for row in found.rows if row.kind is TaskKind.GENERATION and _testable(row)]
    claim = "that options, classification and retrieval survive while generation breaks"
    if not steady or not generated:
        return _untestable(found, claim)
    broken, kept, open_steady = (_with(steady, *one) for one in ((Outcome.BROKEN,), (Outcome.SAFE,), UNDECIDED))
    broken_text = _with(generated, Outcome.BROKEN)
    if broken_text and not broken:
        breaks = f"{_names(broken_text)} break{_s(broken_text)}"
        if len(kept) == len(steady) and len(broken_text) == len(generated):
            return f"Confirmed for this setting: {_names(kept)} survive{_s(kept)}, {breaks}."
        whole = [row for row in generated if row not in broken_text]
        safe = f"; {_names(whole)} {'is' if len(whole) == 1 else 'are'} not shown to break" if whole else ""
        return (
            f"The claim {claim} fits this setting but is not proved: {breaks}{_kept(kept)}{safe}{_open(open_steady)}."
        )
    if broken_text:
        worst, least = min(steady, key=_change), max(generated, key=_change)
        lost = f"{worst.task} loses {points(_change(worst))}, {least.task} {points(_change(least))}"
        return (
            f"The claim {claim} fails for this setting: {_names(broken)} break{_s(broken)} too "
            f"({lost}){_kept(kept)}{_open(open_steady)}."
        )
    if broken:
        state = "is safe" if all(row.outcome is Outcome.SAFE for row in generated) else "is not shown to break"
        return (
            f"The claim {claim} fails for this setting: {_names(broken)} break{_s(broken)}, and generation {state}"
            f"{_kept(kept)}{_open(open_steady)}."
        )
    if not _with((*steady, *generated), *UNDECIDED):
        return f"This setting is safe for all tasks, so it is too mild to show {claim}."
    return (
        f"Undecided: no task is shown to break, and the items are too few for {_names(_with(found.rows, *UNDECIDED))}."
    )


def _untestable(found: Verdict, claim: str) -> str:
    """Which task would test the claim, or which ones can't because the dense model fails at them."""
    generated = [row for row in found.rows if row.kind is TaskKind.GENERATION]
    if not generated:
        return f"To test the claim {claim}, score a task of generation, too, such as answers."
    if len(generated) == len(found.rows):
        return f"To test the claim {claim}, score a task of another kind, too, such as facts."
    failed = _names([row for row in found.rows if not _testable(row)])
    return f"The claim {claim} can't be tested: the dense model has no score to lose in {failed}."


def _testable(row: TaskVerdict) -> bool:
    return bool(row.items) and row.outcome is not Outcome.NOTHING_TO_LOSE


def _with(rows: Sequence[TaskVerdict], *outcomes: Outcome) -> list[TaskVerdict]:
    return [row for row in rows if row.outcome in outcomes]


def _change(row: TaskVerdict) -> float:
    return row.difference.value


def _names(rows: Sequence[TaskVerdict]) -> str:
    names = [row.task for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _s(rows: Sequence[TaskVerdict]) -> str:
    return "s" if len(rows) == 1 else ""


def _kept(rows: Sequence[TaskVerdict]) -> str:
    return f"; {_names(rows)} survive{_s(rows)}" if rows else ""


def _open(rows: Sequence[TaskVerdict]) -> str:
    return f"; the items are too few for {_names(rows)}" if rows else ""


def _hundredths(share: float) -> str:
    """A share in hundredths, without its sign: one decimal below ten, if it isn't 0."""
    value = abs(100 * share)
    return f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:.0f}"
