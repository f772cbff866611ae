"""`phier bench profile`: where the time of a step goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.settings import RunSettings
from probes.schema.spec import OverlapMode, PairSpec
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from probes.bench.step_profile import StepProfile


@dataclass(frozen=True, slots=True)
class ProfileBench:
    """The profile of a step of two models."""

    dense: str
    pruned: str
    profile: StepProfile


def bench_profile(spec: PairSpec, work: Work = UNWATCHED, *, prompt: str = DEFAULT_PROMPT) -> ProfileBench:
    """Loads the two models and profiles their steps. Raises what loading raises."""
    from probes.bench.step_profile import profile_steps
    from probes.models.prompting import read_prompt
    from probes.models.tokens import TokenDecoder
    from probes.pair import load_pair

    pair = load_pair(replace(spec, overlap=OverlapMode.NONE), work)
    ids = read_prompt(pair.dense.tokenizer, RunSettings(prompt)).ids
    models = pair.dense.model, pair.pruned.model
    found = profile_steps(models, TokenDecoder(pair.dense.tokenizer), ids, work=work)
    return ProfileBench(pair.dense.info.name, pair.pruned.info.name, found)


def print_profile(found: ProfileBench, console: Console | None = None) -> None:
    """Prints the parts of a step."""
    console = console or Console()
    console.print(f"{found.dense} ⇄ {found.pruned}", style="bold", highlight=False, markup=False)
    console.print(profile_table(found.profile))


def profile_table(found: StepProfile) -> Table:
    """The parts of a step in the order in which they happen, with their sum."""
    caption = (
        f"means of {found.steps} steps, one pass after the other, {found.threads} "
        f"{'thread' if found.threads == 1 else 'threads'}; {1000 * found.unwatched:.1f} ms without the clocks. "
        "Operators: in torch, as its profiler has them. The rest: Python, and what is not attributed."
    )
    table = Table("part", "ms", "share", "operators", "copies", "rest", title="Where a step goes", caption=caption)
    for one in found.parts:
        inner = (f"{1000 * seconds:.2f}" for seconds in (one.operators, one.copies, one.python))
        table.add_row(Text(one.part), f"{1000 * one.seconds:.2f}", f"{one.share:.1%}", *inner)
    sums = (sum(getattr(one, name) for one in found.parts) for name in ("operators", "copies", "python"))
    table.add_section()
    table.add_row("step", f"{1000 * found.seconds:.2f}", "100.0%", *(f"{1000 * seconds:.2f}" for seconds in sums))
    return table
