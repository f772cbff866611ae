"""The output of `phier score`: tables for people, one object for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from explorer.words.numbers import NONE, percent, significant
from probes.schema.as_json import json_of
from probes.schema.errors import Failure
from probes.schema.flat_step import to_jsonable
from probes.schema.foreign_text import visible
from probes.schema.score import QUANTILES, Estimate, GroupScore, Scores, Spread, TextScore
from probes.system.files import replacing


def scores_object(found: Scores) -> dict[str, Any]:
    """For `phier score --json` and the results file."""
    return {**asdict(found), "quantiles": QUANTILES}


def write_results(found: Scores, path: Path) -> None:
    """Writes the results as one JSON object. Raises `Failure` if the disk refuses."""
    try:
        with replacing(path) as part:
            part.write_bytes(json_of(to_jsonable(scores_object(found))) + b"\n")
    except OSError as problem:
        message = f"{path} can't be written ({problem.strerror})."
        raise Failure("Results", message, "Name another --results file.") from problem


def print_scores(found: Scores, console: Console) -> None:
    """One column a second model, then for each what its KL depends on."""
    stride = f", one every {found.stride:,}" if found.stride else ""
    windows = f"windows of {found.window:,} tokens{stride}; {_SCORED[found.scored]}"
    _line(console, f"{found.dense} on {', '.join(map(visible, found.texts))}", "bold")
    _line(console, f"{found.tokens:,} tokens read in {windows}\n")
    table = Table(Column(no_wrap=True), *(escape(visible(row.name)) for row in found.rows), box=None, pad_edge=False)
    for name, write in _ROWS:
        cells = [write(row) for row in found.rows]
        if any(cells):
            table.add_row(name, *cells)
    console.print(table)
    _line(console, "\n± is one standard error clustered by window; the naive one is in brackets.", "dim")
    for title, groups in _GROUPS:
        print_groups(title, [groups(row) for row in found.rows], [row.name for row in found.rows], console)


def print_groups(title: str, groups: Sequence[Sequence[GroupScore]], names: Sequence[str], console: Console) -> None:
    """The KL of each kind of position, a column a second model."""
    shown = list(dict.fromkeys(group.name for row in groups for group in row))
    if not shown:
        return
    table = Table(escape(title), "positions", *(escape(visible(name)) for name in names), box=None, pad_edge=False)
    for name in shown:
        found = [next((group for group in row if group.name == name), None) for row in groups]
        count = next(group.positions for group in found if group)
        table.add_row(escape(name), f"{count:,}", *(_group(group) for group in found))
    console.print()
    console.print(table)


_SCORED = {
    "new": "every token that no earlier window holds is scored",
    "half": "the second half of each is scored, as in llama.cpp",
}


def _estimate(one: Estimate | None) -> str:
    if one is None:
        return ""
    error = NONE if one.se is None else significant(one.se, 2)
    naive = NONE if one.se_naive is None else significant(one.se_naive, 2)
    return f"{significant(one.mean, 4)} ± {error} ({naive})"


def _kl(row: TextScore) -> str:
    if row.kl_upper is None:
        return _estimate(row.kl)
    return f"{significant(row.kl.mean, 4)} to {significant(row.kl_upper.mean, 4)}"


def _at(spread: Callable[[TextScore], Spread], place: int) -> Callable[[TextScore], str]:
    return lambda row: significant(spread(row).quantiles[place])


def _nonfinite(row: TextScore) -> str:
    if not row.nonfinite_dense and not row.nonfinite_pruned:
        return ""
    return f"{row.nonfinite_dense:,} dense, {row.nonfinite_pruned:,} pruned"


_ROWS: tuple[tuple[str, Callable[[TextScore], str]], ...] = (
    ("positions", lambda row: f"{row.positions:,}"),
    ("windows", lambda row: f"{row.windows:,}"),
    ("not finite, left out", _nonfinite),
    ("perplexity, dense", lambda row: significant(row.ppl_dense, 5)),
    ("perplexity, pruned", lambda row: significant(row.ppl_pruned, 5)),
    ("perplexity ratio", lambda row: _estimate(row.ppl_ratio)),
    ("KL(p‖q), mean", _kl),
    ("KL, least", lambda row: significant(row.kl_spread.min)),
    *((f"KL, {100 * share:g} %", _at(lambda row: row.kl_spread, place)) for place, share in enumerate(QUANTILES)),
    ("KL, largest", lambda row: significant(row.kl_spread.max)),
    ("KL(q‖p), mean", lambda row: _estimate(row.kl_reverse)),
    ("same top token", lambda row: percent(row.same_top)),
    ("Δp of the text's token, mean", lambda row: _estimate(row.dp)),
    ("Δp, root mean square", lambda row: significant(row.dp_rms)),
    ("Δp, least", lambda row: significant(row.dp_spread.min)),
    *((f"Δp, {100 * share:g} %", _at(lambda row: row.dp_spread, place)) for place, share in enumerate(QUANTILES)),
    ("Δp, largest", lambda row: significant(row.dp_spread.max)),
    ("1 − cos h", lambda row: _space(row, "h", "h_estimate")),
    ("1 − centred cos z", lambda row: _space(row, "z", "")),
    ("1 − cos p", lambda row: _space(row, "p", "p_estimate")),
    ("KL by Theorem 3", lambda row: significant(row.spaces.kl_estimate) if row.spaces else ""),
)


def _space(row: TextScore, name: str, estimate: str) -> str:
    if row.spaces is None:
        return ""
    theorem = f" (theorem {significant(getattr(row.spaces, estimate))})" if estimate else ""
    return f"{significant(getattr(row.spaces, name))}{theorem}"


_GROUPS: tuple[tuple[str, Callable[[TextScore], tuple[GroupScore, ...]]], ...] = (
    ("dense model's largest p", lambda row: row.by_certainty),
    ("tokens before it in the window", lambda row: row.by_place),
    ("kind of token", lambda row: row.by_kind),
)


def _group(group: GroupScore | None) -> str:
    if group is None:
        return NONE
    error = NONE if group.kl_se is None else significant(group.kl_se, 2)
    return f"{significant(group.kl)} ± {error}, {percent(group.same_top)} same top"


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True, highlight=False)
