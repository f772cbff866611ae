"""`phier bench steps`: the cost of a step beyond the forward passes of the two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from explorer.bench.interface import UiCost
    from probes.bench.stepping import Growth, StepCost


@dataclass(frozen=True, slots=True)
class StepBench:
    """The measured costs."""

    dense: str
    pruned: str
    steps: tuple[StepCost, ...]
    """In `dense`, then in `free`, in which the pruned model reads two contexts after the texts have diverged."""
    growth: Growth
    interface: tuple[UiCost, ...]
    """At each terminal size."""


def bench_steps(
    spec: PairSpec,
    work: Work = UNWATCHED,
    *,
    prompt: str = DEFAULT_PROMPT,
    steps: int = 32,
    rounds: int = 9,
) -> StepBench:
    """Loads the two models and measures; a minute or two on the demo model. Raises what loading raises."""
    from explorer.bench.interface import interface_costs
    from probes.bench.stepping import growth_alone, step_cost
    from probes.models.prompting import read_prompt
    from probes.models.tokens import TokenDecoder
    from probes.pair import load_pair

    pair = load_pair(spec, work)
    ids = read_prompt(pair.dense.tokenizer, RunSettings(prompt)).ids
    tokens = TokenDecoder(pair.dense.tokenizer)
    models = pair.dense.model, pair.pruned.model
    costs = [
        step_cost(*models, tokens, ids, follow=follow, steps=steps, rounds=rounds, work=work)
        for follow in (Follow.DENSE, Follow.FREE)
    ]
    work.report("Measuring the memory of a step")
    grown = growth_alone()
    work.report("Measuring the interface")
    return StepBench(pair.dense.info.name, pair.pruned.info.name, tuple(costs), grown, tuple(interface_costs()))


def print_steps(found: StepBench, console: Console | None = None) -> None:
    """Prints the measured costs, each beside its limit."""
    from explorer.bench import interface

    console = console or Console()
    console.print(f"{found.dense} ⇄ {found.pruned}", style="bold", highlight=False, markup=False)
    console.print(_steps_table(found.steps))
    console.print(_growth_table(found.growth))
    console.print(interface.cost_table(found.interface))


def _steps_table(costs: tuple[StepCost, ...]) -> Table:
    first = costs[0]
    rounds = f"median of {len(first.bare)} rounds of {first.steps} steps, taken in turn"
    table = Table("context", "bare loop", "measured", "ratio", "limit", title="One step of both models", caption=rounds)
    for cost in costs:
        table.add_row(
            cost.follow,
            f"{1000 * cost.bare_median:.1f} ms",
            f"{1000 * cost.measured_median:.1f} ms",
            f"{cost.ratio:.3f}",
            "1.10" if cost.follow is Follow.DENSE else "reads a third context",
        )
    return table


def _growth_table(growth: Growth) -> Table:
    table = Table(
        "vocabulary",
        "in all",
        "KV caches",
        "beyond them",
        "limit",
        title="Memory a step",
        caption=f"resident memory over {growth.steps} steps of two small random models in free, records kept",
    )
    table.add_row(
        f"{growth.vocabulary:,}", *map(_kilobytes, (growth.resident, growth.caches, growth.beyond_caches, 1e5))
    )
    return table


def _kilobytes(count: float) -> str:
    return f"{count / 1000:,.1f} kB"
