"""`phier bench explain`: what it costs to explain a token, and how often a planted fault is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from probes.bench.explanations import ExplainCosts
    from probes.bench.plants import Plant

TOKENS, PLANTED_IN = 64, 40
"""Tokens of the context that is timed, and of the one that faults are planted on."""


@dataclass(frozen=True, slots=True)
class ExplainBench:
    """The measured costs, or the faults that were planted."""

    dense: str
    pruned: str
    costs: ExplainCosts | None
    plants: tuple[Plant, ...]


def bench_explain(
    spec: PairSpec, work: Work = UNWATCHED, *, prompt: str = DEFAULT_PROMPT, plants: int = 0
) -> ExplainBench:
    """Loads the two models and times what explains a token; with `plants`, plants so many faults in the pruned one
    instead. Raises what loading raises."""
    from probes.bench.explanations import explain_costs
    from probes.bench.plants import plant_faults
    from probes.models.prompting import read_prompt
    from probes.pair import load_pair

    pair = load_pair(spec, work)
    ids = read_prompt(pair.dense.tokenizer, RunSettings(prompt)).ids
    names = pair.dense.info.name, pair.pruned.info.name
    if plants:
        assert pair.twin is not None  # the pruned model is made here
        found = plant_faults(pair.twin, ids[-PLANTED_IN:], plants=plants, work=work)
        return ExplainBench(*names, None, tuple(found))
    costs = explain_costs(pair.dense.model, pair.pruned.model, ids, tokens=TOKENS, work=work)
    return ExplainBench(*names, costs, ())


def print_explain(found: ExplainBench, console: Console | None = None) -> None:
    """Prints each cost beside its limit, or every fault with its rank and how many ranked first."""
    console = console or Console()
    console.print(f"{found.dense} ⇄ {found.pruned}", style="bold", highlight=False, markup=False)
    if found.costs is not None:
        console.print(_cost_table(found.costs))
    if found.plants:
        console.print(_plant_table(found.plants))


def _cost_table(costs: ExplainCosts) -> Table:
    caption = f"A context of {TOKENS} tokens; the median of the rounds, each beside its unit."
    table = Table("what", "seconds", "units", "limit", "unit", title="What explaining costs", caption=caption)
    for one in costs.times:
        seconds = sorted(one.seconds)[len(one.seconds) // 2]
        limit = "–" if one.limit is None else f"{one.limit:g}"
        table.add_row(Text(one.what), f"{seconds:.3f}", f"{one.ratio:.2f}", limit, one.per)
    peak, most = (f"{size / 1e6:.2f}" for size in (costs.memory.peak, costs.memory.limit))
    table.add_row(Text("memory of the estimate"), "–", peak, most, "MB beyond the models")
    return table


def _plant_table(plants: Sequence[Plant]) -> Table:
    felt = [one for one in plants if one.matters]
    first, second = (sum(one.rank <= rank for one in felt) for rank in (1, 2))
    everywhere, estimated = sum(one.rank == 1 for one in plants), sum(one.estimated_rank == 1 for one in felt)
    caption = (
        f"{len(felt)} of {len(plants)} faults raise the KL, {plants[0].kl_light:.3g} without one, by a tenth or more. "
        f"Of these, the damaged sublayer heals most in {first} and is among the first two in {second}; "
        f"the estimate puts it first in {estimated}. Of all {len(plants)} it heals most in {everywhere}."
    )
    table = Table("fault", "sublayer", "rank", "by estimate", "KL", "healed", title="Planted faults", caption=caption)
    for one in plants:
        estimate = "–" if one.estimated_rank is None else str(one.estimated_rank)
        table.add_row(one.kind, str(one.part), str(one.rank), estimate, f"{one.kl:.3g}", f"{one.healed:.3g}")
    return table
