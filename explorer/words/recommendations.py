"""Sentences on a recommendation: what is safe, how sure that is, and what would decide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from explorer.words.token_text import flowing
from explorer.words.verdicts import needed_items
from probes.schema.counting import number_of
from probes.schema.sweep import Counted, Held, Recommendation, Trial
from probes.schema.verdict import MOST_NEEDED, Outcome


def removes(trial: Trial) -> str:
    """ "removes 23.6 % of the parameters"."""
    return "removes nothing" if trial.removed is None else f"removes {100 * trial.removed:.1f} % of the parameters"


def recommendation_sentences(found: Recommendation) -> tuple[str, ...]:
    """The answer, first what is recommended."""
    said = [_answer(found)]
    if found.best is None and found.tasks:
        said += _instead(found)
    if found.counted is not None:
        said.append(counted_sentence(found.counted))
    if found.best is not None:
        said += _confirmation(found)
    if found.nothing_to_lose:
        left = _names(found.nothing_to_lose)
        one = len(found.nothing_to_lose) == 1
        said.append(f"{left} {'is' if one else 'are'} left out: the dense model is not above guessing there.")
    return tuple(said)


def too_few_sentence(counts: Mapping[str, int], margin: float, level: float, fewest: int | None) -> str:
    """That tasks have too few items (`counts`, by task) for any setting to be shown safe; "" if none has."""
    few = {task: count for task, count in counts.items() if fewest is None or count < fewest}
    if not few:
        return ""
    have = " and ".join(f"{flowing(task)} has {number_of(count, 'item')}" for task, count in few.items())
    need = f"more than {MOST_NEEDED:,}" if fewest is None else f"at least {fewest:,}"
    return (
        f"{have}: too few to show that any setting is safe, even an exact copy. A margin of {100 * margin:g} points at "
        f"{100 * level:g} % needs {need} items a task. What is searched now is the most that is not shown to be broken."
    )


def _answer(found: Recommendation) -> str:
    if found.best is not None:
        setting = flowing(found.best.candidate.setting)
        return f"Recommended: {setting}, which {removes(found.best)} and is safe for {_names(found.tasks)}."
    if found.nothing_to_lose and not found.tasks:
        return "Nothing can be recommended: the dense model has no score to lose on these tasks."
    if not found.tasks:
        return "Nothing can be recommended: no setting could be carried out and scored."
    if not found.decidable:
        return (
            "Nothing can be shown to be safe: at this margin, these items would not even show that an exact copy of "
            "the dense model is."
        )
    return f"None of the {len(found.trials)} settings that were tried is safe."


def _instead(found: Recommendation) -> list[str]:
    said = []
    if found.items_needed is not None:
        what = "show an exact copy to be safe" if not found.decidable else "decide the next setting"
        said.append(f"About {needed_items(found.items_needed)} items a task would {what}, or a larger --margin.")
    elif not found.decidable:
        said.append(f"More than {MOST_NEEDED:,} items a task would be needed, or a larger --margin.")
    if found.not_broken is None:
        said.append("Every setting that was tried is broken, or failed.")
    else:
        which = f"{flowing(found.not_broken.candidate.setting)} {removes(found.not_broken)}"
        said.append(f"The most that is not shown to be broken: {which}. It is not shown to be safe either.")
    return said


def counted_sentence(counted: Counted) -> str:
    """How sure the best of several is."""
    if counted.tried == 1:
        return "It is the only setting that was judged."
    best = f"It is the best of {counted.tried} settings judged on the same items, which favours a lucky one"
    at = f"counting them all (intervals of {100 * counted.level:.4g} %)"
    if counted.held is None:
        return f"{best}. Confirm it on other items with --confirm."
    if counted.held is Held.SAFE:
        return f"{best}; {at}, it is still safe."
    return f"{best}; {at}, it is no longer shown to be safe. Confirm it on other items with --confirm."


def _confirmation(found: Recommendation) -> list[str]:
    if not found.confirmed:
        return []
    safe = [row.task for row in found.confirmed if row.outcome is Outcome.SAFE]
    others = [row.task for row in found.confirmed if row.outcome is not Outcome.SAFE]
    said = [f"Confirmed on {_names(safe)}, which the search has not seen."] if safe else []
    if others:
        said.append(f"Not confirmed on {_names(others)}, which the search has not seen.")
    return said


def _names(names: Sequence[str]) -> str:
    shown = list(map(flowing, names))
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
