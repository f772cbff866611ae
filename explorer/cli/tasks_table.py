"""The output of `phier tasks`: the figures of each task in both models and, if asked for, of each item."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.words import numbers
from explorer.words.token_text import fit, flowing
from explorer.words.verdicts import further_value, interval_text, score
from probes.schema.items import ItemSet, TaskKind, Way
from probes.schema.task_results import Answered, ItemResult
from probes.schema.verdict import FurtherFigure, TaskVerdict, Verdict

_ANSWER = 18
"""Cells of an answer in the list of items."""


def print_tasks(found: Verdict, item_sets: Sequence[ItemSet], results: Sequence[ItemResult], console: Console) -> None:
    """A table for each task: its figures, then its `results`, which are empty unless they are to be listed."""
    pruned = flowing(found.setting or found.pruned)
    console.print(Text.assemble((flowing(found.dense), "bold blue"), "  ⇄  ", (pruned, "bold dark_orange")))
    for row, items in zip(found.rows, item_sets, strict=True):
        console.print()
        way = [_way(items)] if items.questions else []
        done = (
            f"{row.items:,} item{'' if row.items == 1 else 's'}"
            if row.final
            else f"{row.items:,} of {row.of:,} items so far"
        )
        console.print(Text(" · ".join([flowing(row.task), str(row.kind), *way, done]), "bold"))
        console.print(_figures(row))
        if mine := [one for one in results if one.task == row.task]:
            console.print()
            console.print(_list(mine, items))


def _way(items: ItemSet) -> str:
    if items.way is Way.CONTINUATION:
        return "by continuation"
    return "by label" if items.kind is TaskKind.CLASSIFICATION else "by letter"


def _figures(row: TaskVerdict) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    for title in ("dense", "pruned", "difference", "items"):
        table.add_column(title, justify="right", no_wrap=True)
    if not row.items:
        table.add_row(row.figure, *[numbers.NONE] * 3, "0")
        return table
    between = interval_text(row.difference.value, row.difference.low, row.difference.high, signed=True)
    table.add_row(row.figure, score(row.dense.value), score(row.pruned.value), between, str(row.items))
    table.add_row("same answer", score(row.agreement), "", "", str(row.items), style="dim")
    for one in row.more:
        table.add_row(flowing(one.name), *_values(one), str(one.items))
    if row.spaces is not None:
        for name, value in (("1 − cos h", row.spaces.h), ("1 − cos z", row.spaces.z), ("1 − cos p", row.spaces.p)):
            table.add_row(name, numbers.significant(value, 2), "", "", str(row.spaces.items), style="dim")
        table.add_row("KL", f"{numbers.significant(row.spaces.kl, 2)} nat", "", "", str(row.spaces.items), style="dim")
    return table


def _values(one: FurtherFigure) -> tuple[str, str, str]:
    if one.of_both:
        return further_value(one, one.dense), "", ""
    between = one.difference
    change = interval_text(between.value, between.low, between.high, signed=True) if between else ""
    return further_value(one, one.dense), further_value(one, one.pruned), change


def _list(results: Sequence[ItemResult], items: ItemSet) -> Table:
    """A row for each item: both answers, and what was lost at its deciding position."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("item", no_wrap=True)
    for title in ("dense", "pruned"):
        table.add_column(title, no_wrap=True)
    titles = ["rank", "τ-b"] if items.kind is TaskKind.RETRIEVAL else []
    titles += ["KL options"] if items.questions else []
    titles += ["split"] if items.kind is TaskKind.GENERATION else []
    for title in (*titles, "1 − cos h", "KL"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in results:
        cells = [_answer(one.dense), _answer(one.pruned)]
        if items.kind is TaskKind.RETRIEVAL:
            ranking = one.ranking
            cells.append(f"{ranking.rank_dense} → {ranking.rank_pruned}" if ranking else numbers.NONE)
            tau = ranking.tau if ranking else None
            cells.append(numbers.NONE if tau is None else f"{tau:.2f}".replace("-", "−"))
        elif items.questions:
            cells.append(numbers.significant(one.options.kl, 2) if one.options else numbers.NONE)
        elif items.kind is TaskKind.GENERATION:
            cells.append(str(one.generation.first_split or "none") if one.generation else numbers.NONE)
        cells.append(numbers.significant(1 - one.spaces.h.cos, 2) if one.spaces else numbers.NONE)
        cells.append(numbers.significant(one.spaces.p.kl, 2) if one.spaces else numbers.NONE)
        style = "" if one.same else "dark_orange"
        table.add_row(fit(flowing(one.item), min(14, len(one.item))), *cells, style=style)
    return table


def _answer(one: Answered) -> str:
    text = flowing(" ".join(one.choice.split())) or numbers.NONE
    return f"{'✓' if one.right else '✗'} {fit(text, _ANSWER).rstrip()}"
