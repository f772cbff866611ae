"""Watched groups as people read them: their tokens, a line of all of them, what changes when others are chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.cells import cell_len

from explorer.words.token_text import flowing, quoted
from probes.schema.record import Comparison, GroupFigures, StepRecord, Watched
from probes.schema.watch import WatchedGroup

MARK = "◆"
"""Stands at a watched token."""


def watched_at(record: StepRecord | None, own_contexts: bool) -> Watched | None:
    """The watched groups of a step, on the context of the table."""
    found = compared_at(record, own_contexts)
    return found.watched if found else None


def compared_at(record: StepRecord | None, own_contexts: bool) -> Comparison | None:
    """A step's comparison on the shared context if there is one, unless `own_contexts` is set."""
    if record is None:
        return None
    return record.own if own_contexts or record.shared is None else record.shared


def forms_text(group: WatchedGroup, between: str = ", ") -> str:
    """The tokens of a group: "A", " A", #198."""
    return between.join(f"#{form}" if isinstance(form, int) else quoted(form) for form in group.forms)


def label_text(label: str) -> str:
    """A label as data; in quotation marks if its spaces would not be seen."""
    return flowing(label) if label == label.strip() else quoted(label)


def probability(value: float) -> str:
    """Two decimals, or a power of ten."""
    return f"{value:.2f}" if value >= 0.005 or value == 0 else f"{value:.0e}".replace("e-0", "e-")


def watched_line(groups: Sequence[GroupFigures], width: int = sys.maxsize) -> str:
    """All groups with p and q, as many as fit: "◆ A 0.62 → 0.31  B 0.20 → 0.40"."""
    line = f"{MARK}"
    for place, group in enumerate(groups):
        more = f" {label_text(group.label)} {probability(group.p)} → {probability(group.q)} "
        left = len(groups) - place - 1
        if cell_len(line + more) + (len(f" +{left}") if left else 0) > width:
            return f"{line} +{left + 1}"
        line += more
    return line.rstrip()


def toggled(
    watch: Sequence[WatchedGroup], present: Watched | None, token_id: int, token: str
) -> tuple[WatchedGroup, ...]:
    """The groups without the one that has this token, or with a group of this token alone. `present` has the ids of
    the groups' tokens."""
    places = [place for place, group in enumerate(present.groups if present else ()) if token_id in group.tokens]
    if places:
        return tuple(group for place, group in enumerate(watch) if place not in places)
    label = token if token and token not in {group.label for group in watch} else f"#{token_id}"
    return (*watch, WatchedGroup(label, (token_id,)))
