"""The output of `phier verdict`: a row and a sentence for each task, and what is lost in each space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.words import numbers
from explorer.words.token_text import fit, flowing
from explorer.words.verdicts import claim_sentence, interval_text, needed_about, p_text, row_sentence, score
from probes.schema.verdict import Interval, Outcome, TaskVerdict, Verdict

STYLES = {Outcome.SAFE: "bold blue", Outcome.BROKEN: "bold dark_orange"}
"""Outcomes that are decided; the word says the same without colour."""
WIDE = 96
"""From this width on the table has a column for the outcome, which each sentence begins with too."""
SPACES = ("h", "z", "p")
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LONGEST_NAME = 14


def verdict_object(found: Verdict, **more: object) -> dict[str, Any]:
    """For `--json`: the verdict with its sentences, and `more` keys."""
    plain = asdict(found)
    for row, made in zip(found.rows, plain["rows"], strict=True):
        made["sentence"] = row_sentence(row, found.margin, found.level)
        if row.items_needed is not None:
            made["items_needed"] = needed_about(row.items_needed)
    return {**plain, "final": found.final, "claim": claim_sentence(found), **more}


def print_verdict(found: Verdict, console: Console) -> None:
    """The table, a sentence for each row, what is lost in each space, and what that says of stable spaces."""
    pruned = flowing(found.setting or found.pruned)
    console.print(Text.assemble((flowing(found.dense), "bold blue"), "  ⇄  ", (pruned, "bold dark_orange")))
    done = "" if found.final else f" · {found.done:,} of {found.of:,} items so far"
    rules = f"Margin {100 * found.margin:g} points · intervals of {100 * found.level:g} %{done}"
    _print(console, Text(rules))
    console.print()
    console.print(_scores(found, console.width))
    console.print()
    console.print(_sentences(found))
    if any(row.spaces for row in found.rows):
        console.print()
        _print_spaces(found.rows, console)
    if claim := claim_sentence(found):
        console.print()
        _print(console, Text(claim, "bold"))


def _scores(found: Verdict, width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("task", no_wrap=True)
    for title in ("items", "dense %", "pruned %", "difference", "p", "agree"):
        table.add_column(title, justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("verdict", no_wrap=True)
    for row in found.rows:
        cells = [fit(flowing(row.task), min(_LONGEST_NAME, len(row.task))), _items(row)]
        if row.items:
            cells += [_interval(row.dense), _interval(row.pruned), _interval(row.difference, signed=True)]
            cells += [p_text(row.mcnemar), score(row.agreement)]
        else:
            cells += [numbers.NONE] * 5
        outcome = Text(str(row.outcome) if row.items else "", STYLES.get(row.outcome, ""))
        table.add_row(*cells, *([outcome] if width >= WIDE else []))
    return table


def _items(row: TaskVerdict) -> str:
    return f"{row.items}" if row.final else f"{row.items}/{row.of}"


def _interval(of: Interval, *, signed: bool = False) -> str:
    return interval_text(of.value, of.low, of.high, signed=signed)


def _sentences(found: Verdict) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for row in found.rows:
        said = Text(row_sentence(row, found.margin, found.level))
        said.stylize(STYLES.get(row.outcome, ""), 0, len(str(row.outcome)) if row.items and row.final else 0)
        table.add_row(fit(flowing(row.task), min(_LONGEST_NAME, len(row.task))), said)
    return table


def _print_spaces(rows: Sequence[TaskVerdict], console: Console) -> None:
    """Bars of one scale for all tasks and spaces."""
    lost = [(row, row.spaces) for row in rows if row.spaces is not None]
    largest = max((getattr(spaces, space) for _, spaces in lost for space in SPACES), default=0.0)
    name = min(_LONGEST_NAME, max(len(row.task) for row, _ in lost))
    width = max(6, (min(console.width, 120) - name - 8) // 3 - 9)
    title = f"Lost in each space: 1 − cosine, means over the items; a full bar is {numbers.significant(largest, 2)}"
    _print(console, Text(title, "bold"))
    titles = "".join(f"{space:<{width + 8}} " for space in SPACES)
    _print(console, Text(f"{'':<{name}} {titles}{'KL':>5}", "bold"))
    for row, spaces in lost:
        line = Text(f"{fit(flowing(row.task), name)} ")
        for space in SPACES:
            value = max(0.0, getattr(spaces, space))
            line.append(loss_bar(value / largest if largest > 0 else 0.0, width), "dark_orange")
            line.append(f" {numbers.significant(value, 2):<7} ")
        line.append(f"{numbers.significant(spaces.kl, 2):>5}")
        _print(console, line)
        if spaces.options_p is not None and spaces.options_kl is not None:
            among = f"among the options: p {numbers.significant(spaces.options_p, 2)}"
            kl = f"KL {numbers.significant(spaces.options_kl, 2)}"
            _print(console, Text(f"{'':<{name}} {among}, {kl}", "dim"))


def loss_bar(share: float, width: int) -> str:
    """A bar of eighths of cells, padded to the width; the smallest part that isn't 0 is still seen."""
    eighths = round(8 * width * min(share, 1.0)) or (1 if share > 0 else 0)
    return f"{'█' * (eighths // 8)}{_EIGHTHS[eighths % 8].strip()}".ljust(width)


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=False, highlight=False)
