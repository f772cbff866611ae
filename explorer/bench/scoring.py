"""`phier bench score`: scoring a text against stepping through it, and its memory for a short and a long text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from probes.bench.scoring import ScoreCost, ScoreMemory

LEAST = 20
"""How many times as many positions a second as stepping scoring should do."""
SHORT, LONG = 2, 12
"""Windows of the texts whose memory is measured."""


@dataclass(frozen=True, slots=True)
class ScoreBench:
    """The measured costs."""

    dense: str
    pruned: str
    cost: ScoreCost
    memory: tuple[ScoreMemory, ...]


def bench_score(spec: PairSpec, work: Work = UNWATCHED, *, prompt: str = DEFAULT_PROMPT) -> ScoreBench:
    """Loads the two models and measures. Raises what loading raises."""
    from probes.bench.scoring import score_cost, score_memory
    from probes.models.prompting import read_prompt
    from probes.models.tokens import TokenDecoder
    from probes.pair import load_pair

    pair = load_pair(spec, work)
    ids = read_prompt(pair.dense.tokenizer, RunSettings(prompt)).ids
    cost = score_cost(pair, ids, TokenDecoder(pair.dense.tokenizer), work=work)
    memory = []
    for windows in (SHORT, LONG):
        work.report("Measuring the memory of scoring", windows, LONG, "windows")
        memory.append(score_memory(str(spec.prune), windows, spec.dense))
    return ScoreBench(pair.dense.info.name, pair.pruned.info.name, cost, tuple(memory))


def print_score_bench(found: ScoreBench, console: Console | None = None) -> None:
    """Prints the costs, each beside its limit."""
    console = console or Console()
    console.print(f"{found.dense} ⇄ {found.pruned}", style="bold", highlight=False, markup=False)
    caption = f"{len(found.cost.scoring)} rounds, taken in turn; windows of {found.cost.window} tokens"
    table = Table("way", "positions a second", "ratio", "limit", title="Both models on a text", caption=caption)
    table.add_row("stepping", _rate(found.cost.stepping), "1", "")
    table.add_row("scoring", _rate(found.cost.scoring), f"{found.cost.ratio:.1f}", f"at least {LEAST}")
    console.print(table)
    table = Table(
        "windows", "peak", "limit", title="Memory beyond the two models", caption="resident, in a new process"
    )
    for one in found.memory:
        table.add_row(f"{one.windows}", f"{one.peak / 1e6:.0f} MB", f"{one.limit / 1e6:.0f} MB")
    console.print(table)


def _rate(seconds: tuple[float, ...]) -> str:
    return f"{1 / sorted(seconds)[len(seconds) // 2]:.1f}"
