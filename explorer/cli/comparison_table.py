"""`phier compare`: recordings side by side as a printed table, or as one JSON object."""

from __future__ import annotations

import math
from dataclasses import asdict

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text as Styled

from explorer.recordings.comparison import ComparedText, ComparisonRow, RunComparison, points
from explorer.words import numbers
from explorer.words.summary_figures import Written
from explorer.words.token_text import flowing, quoted
from probes.schema.flat_step import to_jsonable

STYLES = ("bold blue", "bold dark_orange", "bold", "bold cyan", "bold magenta")
_MOST_EXPLAINED = 40
"""Rows of findings that are printed."""
_AROUND = 6
"""Tokens that are shown before and after the place where texts diverge."""


def print_compared(compared: RunComparison, console: Console) -> None:
    """Prints the warnings, the table with differences to the first recording, and the steps at which texts diverge."""
    console.print(compared_view(compared))


def compared_view(compared: RunComparison) -> Group:
    """The same table as an object that can be printed or shown in a widget."""
    parts: list[Styled | Table] = [Styled(f"! {flowing(warning)}", "bold reverse") for warning in compared.warnings]
    parts.append(_table(compared))
    parts += [_divergence(compared, text) for text in compared.texts]
    if compared.explained:
        parts.append(_explained(compared))
    parts += [Styled(flowing(note), "dim") for note in compared.notes]
    return Group(*parts)


def compared_object(compared: RunComparison) -> dict[str, object]:
    """For `--json`: figures that are not finite are null and named in `nonfinite` by their dotted path."""
    return to_jsonable(
        {
            "recordings": [
                {
                    "label": entry.label,
                    "path": str(entry.path),
                    "run": entry.run.place,
                    "dense": entry.header.dense.name,
                    "pruned": entry.header.pruned.name,
                    "setting": entry.header.prune.setting if entry.header.prune else None,
                    "steps": len(entry.records),
                    "steps_compared": entry.summary.compared,
                    "summary": asdict(entry.summary),
                }
                for entry in compared.entries
            ],
            "common_steps": compared.common,
            "rows": [
                {
                    "name": row.figure.label,
                    "unit": row.figure.unit,
                    "over": row.over,
                    "values": list(row.values),
                    "differences": list(row.differences),
                }
                for row in compared.rows
            ],
            "texts": [{"side": text.side, "diverges_at": text.diverges_at} for text in compared.texts],
            "explained": [
                {"step": one.step, "through": one.through, "what": one.what, "values": list(one.values)}
                for one in compared.explained
            ],
            "warnings": list(compared.warnings),
            "notes": list(compared.notes),
        }
    )


def _table(compared: RunComparison) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"over {compared.span}", style="dim")
    for place, entry in enumerate(compared.entries):
        style = STYLES[place % len(STYLES)]
        label = flowing(entry.label).replace(" · ", "\n")
        table.add_column(Styled(label, style), justify="right", overflow="fold")
        if place:
            table.add_column(Styled("difference", "dim"), justify="right")
    for row in compared.rows:
        cells = []
        for place, (value, difference) in enumerate(zip(row.values, row.differences, strict=True)):
            cells.append(row.figure.text(value, 4))
            if place:
                cells.append(_difference(row, difference))
        figure = row.figure
        name = f"{figure.label} *" if compared.marked(row) else figure.label
        table.add_row(Styled(f"{name} [{figure.unit}]" if figure.unit else name), *map(Styled, cells))
    return table


def _explained(compared: RunComparison) -> Table:
    """What explains the steps that were explained in all recordings."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("explained", style="dim")
    for place, entry in enumerate(compared.entries):
        table.add_column(Styled(flowing(entry.label), STYLES[place % len(STYLES)]), overflow="fold")
    for one in compared.explained[:_MOST_EXPLAINED]:
        table.add_row(Styled(f"{one.where}, {one.what}"), *(Styled(flowing(value)) for value in one.values))
    if (more := len(compared.explained) - _MOST_EXPLAINED) > 0:
        table.add_row(Styled(f"and {more} more: --json has all"))
    return table


def _difference(row: ComparisonRow, value: float | None) -> str:
    if value is None or value == 0:
        return numbers.NONE if value is None else "="
    sign = "−" if value < 0 else "+"
    if math.isnan(value):
        return numbers.odd(value)
    if row.figure.written is Written.SHARE:
        return f"{sign}{points(abs(value))}"
    whole = all(isinstance(one, int) for one in row.values if one is not None)
    return f"{sign}{round(abs(value)) if whole else numbers.significant(abs(value))}"


def _divergence(compared: RunComparison, text: ComparedText) -> Styled:
    """The first step at which one model's texts differ, with a few tokens around it."""
    if text.diverges_at is None:
        return Styled(f"\nThe {text.side} texts are the same up to the end of the shortest.", "dim")
    found = Styled(f"\nThe {text.side} texts diverge at step {text.diverges_at}:\n")
    width = max(len(flowing(entry.label)) for entry in compared.entries)
    place = text.diverges_at - 1
    for index, entry in enumerate(compared.entries):
        line = [row[index] or "" for row in text.tokens[max(0, place - _AROUND) : place]]
        after = [row[index] or "" for row in text.tokens[place + 1 : place + 1 + _AROUND]]
        at = text.tokens[place][index]
        found.append(f"  {flowing(entry.label):>{width}}  ", STYLES[index % len(STYLES)])
        found.append("".join(map(flowing, line)), "dim")
        found.append(quoted(at) if at is not None else "(ended)", "bold underline")
        found.append("".join(map(flowing, after)) + "\n", "dim")
    return found
