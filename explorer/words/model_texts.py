"""The two models' texts: the token each step adds to them, and their titles in each context."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.words.figures import Scope, value
from probes.schema.record import StepRecord, Taken
from probes.schema.settings import Follow

SPLIT, END, HALF, FORCED, APART = "┆", "■", "◦", "»", "·"
"""Marks of the program's own: the first split, the end of a text, a token that is part of a character, a forced one,
and the end of a choice that the text did not continue with."""


@dataclass(frozen=True, slots=True)
class WrittenToken:
    """The token that one step adds to one of the two texts."""

    text: str
    kl: float | None
    quiet: bool = False
    """True for a choice that is the same as the token taken, which is dimmed."""
    mark: str = ""
    apart: bool = False
    """True for a choice that is not the token taken: the text, and the choice after it, continue without it."""


def text_title(side: str, follow: Follow) -> str:
    """Whose text it is, and whether the model wrote it or only commented on it."""
    match follow, side:
        case Follow.FREE, _:
            return f"{side} · the text it wrote"
        case Follow.TEXT, "dense":
            return "the given text"
        case Follow.TEXT, _:
            return f"{side} · its own choice at each step of the given text"
    if side == follow:
        return f"{side} · the text that both read"
    return f"{side} · its own choice at each step of the {follow} text"


def written_token(record: StepRecord, side: str, follow: Follow) -> WrittenToken:
    """The token that a step adds to the text of one side."""
    kl = value(record, "p.kl", Scope.SHARED)
    if follow is Follow.FREE:
        if side == "dense":
            return _written(record.taken, kl)
        taken = record.taken_pruned if record.taken_pruned or not record.same_context else record.taken
        return _written(taken, value(record, "p.kl", Scope.OWN))
    if side == ("pruned" if follow is Follow.PRUNED else "dense"):
        return _written(record.taken, kl)
    choice = record.dense if side == "dense" else record.pruned
    if choice is None:
        return WrittenToken("", kl)
    quiet = record.taken is not None and choice.token_id == record.taken.token_id
    return WrittenToken(choice.token, kl, quiet, apart=not quiet)


def _written(taken: Taken | None, kl: float | None) -> WrittenToken:
    if taken is None:
        return WrittenToken("", kl)
    if taken.end:
        return WrittenToken("", kl, mark=END)
    if not taken.text:
        return WrittenToken("", kl, mark=HALF)
    return WrittenToken(taken.text, kl, mark=FORCED if taken.forced else "")
