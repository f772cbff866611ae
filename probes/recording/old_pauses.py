"""Reads the reason of a pause from the sentence that recordings of format 1 have instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from probes.schema.events import Why

_SENTENCES: tuple[tuple[Why, re.Pattern[str]], ...] = tuple(
    (why, re.compile(sentence))
    for why, sentence in (
        (
            Why.STEPS,
            r"(?P<step>\d+) steps are done(?:, and (?P<left>[\d,]+) tokens of the text are left)?"
            r"(?:; running again goes on for (?P<more>\d+) more)?\.",
        ),
        (Why.CONTEXT, r"The models read no more than this: (?P<step>\d+) steps after the prompt\."),
        (Why.ENDED, r"The text ended at step (?P<step>\d+)\."),
        (Why.TEXT, r"The given text ends at step (?P<step>\d+)\."),
        (
            Why.INVALID,
            r"The (?P<model>dense|pruned) model computed NaN or infinity(?: from (?P<layer>.+) on)?"
            r": it has no token to offer\.",
        ),
        (Why.ASKED, r"Paused after step (?P<step>\d+)\."),
        (Why.FAILED, r"Stopped after step (?P<step>\d+)\."),
        (Why.MEASURED, r"The same (?P<step>\d+) steps? (?:are|is) measured under this setting\."),
        (Why.KNOWN, r"(?P<step>\d+) steps? (?:are|is) measured under this setting before\."),
    )
)
"""The sentences of format 1 that hold data; any other sentence is kept as it is."""


def pause_of(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A `paused` line of format 1 as one of format 2."""
    rest = {key: value for key, value in plain.items() if key != "reason"}
    reason = plain.get("reason")
    if not isinstance(reason, str) or not reason:
        return rest
    for why, sentence in _SENTENCES:
        if found := sentence.fullmatch(reason):
            data = {key: value for key, value in found.groupdict().items() if value is not None}
            model, layer = data.pop("model", None), data.pop("layer", "")
            invalid = {"invalid": {"model": model, "layer": layer}} if model else {}
            numbers = {key: int(value.replace(",", "")) for key, value in data.items() if len(value) < _DIGITS}
            return {**rest, "why": why.value, **numbers, **invalid}
    return {**rest, "said": reason}


_DIGITS = 16
"""The program never wrote a number with so many digits."""
