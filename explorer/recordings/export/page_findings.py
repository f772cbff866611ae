"""What explains the steps of a recording, as parts of the page that can be unfolded: a line in words, then tables."""

from __future__ import annotations

import html
from collections.abc import Sequence

from explorer.recordings.compared_findings import in_words, steps_in_words
from explorer.recordings.export.finding_rows import Row, finding_tables
from explorer.words import numbers
from explorer.words.token_text import flowing
from probes.recording import RecordedRun
from probes.schema.events import Explained
from probes.schema.recorded_table import Cell

MOST_ROWS = 240
"""Rows of one table on the page; an export as a table has all of them."""
_TITLES = {
    "layers": "Layers",
    "heal": "Heal: one dense sublayer in the pruned model",
    "damage": "Damage: one pruned sublayer in the dense model",
    "positions": "Earlier positions with the dense cache restored",
    "split_parts": "What each sublayer adds to the margin",
    "fork": "The other model's token forced",
    "given_back": "What the repair gives back",
    "noise_floor": "Noise floor",
}
_COLUMNS = {
    "layers": (
        "layer", "sublayer", "same_input.h.cos", "same_input.p.kl", "accumulated.h.cos", "accumulated.p.kl",
        "lens_dense.token", "lens_dense.p", "lens_pruned.token", "lens_pruned.p",
    ),
    "heal": ("layer", "sublayer", "piece", "kl_drop", "kl_after", "estimate", "top_token_returns"),
    "damage": ("layer", "sublayer", "piece", "kl_after", "top_token_returns"),
    "fork": ("forced", "run.forced", "run.steps", "run.agree_rate", "run.kl", "run.verdict", "run.text"),
}  # fmt: skip
"""The columns that are shown of tables with many."""


def explained_html(run: RecordedRun) -> str:
    """Every explained step or span of the shown path, and what explains the run; "" if nothing was recorded."""
    places: dict[tuple[int, int], list[Explained]] = {}
    for event in run.explained_path():
        places.setdefault((event.step, event.through or event.step), []).append(event)
    parts = [_place(places[place]) for place in sorted(places)]
    if not parts:
        return ""
    # Folded as a whole, because the charts are below it.
    return f'<details class="why"><summary>{_explained_in_words(list(places))}</summary>{"".join(parts)}</details>'


def _explained_in_words(places: Sequence[tuple[int, int]]) -> str:
    """How many steps are explained, and whether something explains the whole run."""
    count = len({step for first, last in places if first for step in range(first, last + 1)})
    parts = [f"{count:,} step{'s' if count > 1 else ''}"] if count else []
    parts += ["the run"] if any(not first for first, _ in places) else []
    return f"Explained: {' and '.join(parts)}"


def _place(events: Sequence[Explained]) -> str:
    where = steps_in_words(events[0].step, events[0].through)
    said = [f"{what} {value}" for event in events for what, value in in_words(event.found)]
    notes = dict.fromkeys(note for event in events for note in event.notes)
    lines = "".join(f'<p class="note">{html.escape(flowing(note))}</p>' for note in notes)
    tables = "".join(
        _table(name, rows)
        for event in events
        for name, rows in finding_tables(event.found, event.level).items()
        if name in _TITLES and rows
    )
    summary = html.escape(flowing(f"{where[:1].upper()}{where[1:]}: {' · '.join(said)}"))
    return f"<details><summary>{summary}</summary>{lines}{tables}</details>"


def _table(name: str, rows: Sequence[Row]) -> str:
    keys = dict.fromkeys(key for row in rows for key in row)
    wanted = _COLUMNS.get(name)
    shown = [key for key in wanted or keys if any(row.get(key) not in (None, "") for row in rows)]
    head = "".join(f"<th>{html.escape(key)}</th>" for key in shown)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(row.get(key))}</td>' for key in shown)}</tr>" for row in rows[:MOST_ROWS]
    )
    return f"<table><caption>{html.escape(_TITLES[name])}</caption><tr>{head}</tr>{body}</table>"


def _text(value: Cell) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return numbers.significant(value)
    return numbers.NONE if value is None else html.escape(flowing(str(value)))
