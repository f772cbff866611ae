"""The output of `phier search`: the passages in a table for people, one object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.words.numbers import NONE, percent, significant
from explorer.words.shell_words import on_one_line
from explorer.words.token_text import flowing
from probes.schema.foreign_text import visible
from probes.schema.passages import Passage, Passages

_AROUND = 120
"""How many characters are shown before and after the token with the largest KL."""


def found_object(found: Passages, commands: Sequence[str]) -> dict[str, Any]:
    """For `phier search --json`. Each passage has the command that opens it."""
    made = asdict(found)
    for row, command in zip(made["rows"], commands, strict=True):
        row["command"] = command
    return made


def print_found(found: Passages, commands: Sequence[str], console: Console) -> None:
    """A row of figures for each passage, and under it its text with the worst token marked."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "mean KL", "max KL", "at", "split", "same top", "Δp", "rank", "place"):
        last = name == "place"  # the only one that gives way in a narrow terminal
        table.add_column(name, justify="left" if last else "right", no_wrap=not last, overflow="fold")
    for number, one in enumerate(found.rows, 1):
        cells = (
            f"{number}",
            significant(one.mean_kl),
            significant(one.max_kl),
            f"{one.max_kl_at} of {one.steps}",
            f"{one.first_split}" if one.first_split else NONE,
            percent(one.agree_rate),
            significant(one.dp),
            f"+{one.rank_change:.0f}",
        )
        table.add_row(*cells, Text(place_of_passage(one)))
    counted = f"{found.scored:,} passage{_s(found.scored)} of {found.tokens:,} token{_s(found.tokens)}"
    if not found.rows:
        nowhere = f"No passage has figures: nowhere in {found.tokens:,} token{_s(found.tokens)} are both models finite."
        console.print(Text(nowhere), soft_wrap=True, highlight=False)
        return
    console.print(table)
    for number, one in enumerate(found.rows, 1):
        console.print(Text.assemble((f"\n{number:>3}  ", "bold"), marked(one)), soft_wrap=True, highlight=False)
    console.print(
        Text(f"\n{counted} {'was' if found.scored == 1 else 'were'} scored. This opens the first one:", "dim"),
        soft_wrap=True,
        highlight=False,
    )
    console.print(Text(on_one_line(commands[0])), soft_wrap=True, highlight=False)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def place_of_passage(one: Passage) -> str:
    """Where it is: "notes.txt, character 1,200", "prompts.jsonl, line 3", or of a set "answers, answer-3"."""
    if one.item:
        return f"{visible(one.source, 100)}, {visible(one.item, 100)}"
    return f"{visible(one.source, 100)}, {'line' if one.lined else 'character'} {one.place:,}"


def marked(one: Passage) -> Text:
    """The text around its worst token, which is in brackets."""
    start, end = one.worst
    before, worst, after = one.text[:start], one.text[start:end], one.text[end:]
    cut, left = (part for part in (len(before) > _AROUND, len(after) > _AROUND))
    return Text.assemble(
        ("…" if cut else "") + flowing(before[-_AROUND:]),
        (f"[{flowing(worst)}]", "bold dark_orange"),
        flowing(after[:_AROUND]) + ("…" if left else ""),
    )
