"""Sentences on what a token's damage comes from: computed now or remembered, and what a fork makes of it."""

from __future__ import annotations

from explorer.words import numbers
from explorer.words.token_text import quoted
from probes.schema.fork_verdict import ForkedRun, Recovery
from probes.schema.quadrants import Blame, Quadrants

SPREAD = 0.05
"""A position is named as the place of the damage if restoring it takes away at least this share of the KL."""


def blame_sentence(found: Quadrants) -> str:
    """The sentence that says if a token breaks because of what is computed now, of what is remembered, or of both."""
    if found.blame is Blame.NONE:
        return f"This token does not break: the KL is {numbers.significant(found.both)} nat."
    weights, cache = (numbers.whole_percent(kl / found.both) for kl in (found.pruned_weights, found.pruned_cache))
    alone = f"pruned weights alone give {weights} of the KL, the pruned cache alone {cache}"
    why = {
        Blame.COMPUTE: "because of what is computed now",
        Blame.MEMORY: "because of what pruned layers wrote into the cache",
        Blame.EITHER: "by what is computed now and by what was written into the cache, each enough alone",
        Blame.BOTH: "only by both together, what is computed now and what was written into the cache",
    }[found.blame]
    return f"This token breaks {why}: {alone}."


def memory_sentence(found: Quadrants) -> str:
    """From which earlier position the damage is read; "" if none was restored."""
    if not found.positions or found.blame is Blame.NONE:
        return ""
    worst = found.positions[0]
    share = worst.kl_drop / found.both
    tried = f"{found.tried} of {found.cached}" if found.tried < found.cached else f"all {found.cached}"
    where = f"position {worst.position}, {quoted(worst.token)}"
    if share < SPREAD:
        least = numbers.whole_percent(SPREAD)
        return f"No earlier position holds it alone: of {tried} that were restored, none takes away {least}."
    return (
        f"The damage is read most from {where}: with the dense cache of that position the KL falls by "
        f"{numbers.whole_percent(share)} ({tried} positions were restored, one after another)."
    )


def fork_sentence(run: ForkedRun, *, into_pruned: bool) -> str:
    """The course of one model once the other one's token is forced into it, in a sentence."""
    whose, reader = ("dense", "pruned") if into_pruned else ("pruned", "dense")
    forced = f"With the {whose} token {quoted(run.forced)} the {reader} model"
    if run.verdict is Recovery.ENDS:
        return f"{forced} ends the text at once, so nothing follows that could be compared."
    steps = f"{run.steps} step{'' if run.steps == 1 else 's'}"
    agree = f"the models agree at {numbers.whole_percent(run.agree_rate)} of the next {steps}"
    kl = f"mean KL {numbers.significant(run.kl)} nat, {numbers.significant(run.kl_last)} at the end"
    how = {
        Recovery.RECOVERS: "recovers",
        Recovery.DRIFTS: "drifts",
        Recovery.COLLAPSES: "ends in a loop" if run.repeats else "collapses",
    }[run.verdict]
    return f"{forced} {how}: {agree} ({kl})."
