"""`phier bench`: the cost of a step beside a bare loop of the two models and the memory's own limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.errors import Failure
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import OverlapMode, PairSpec
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from explorer.bench.interface import UiCost
    from explorer.bench.keys import KeyTimes
    from probes.bench.bandwidth import Floor
    from probes.bench.overlaps import Opened
    from probes.bench.step_memory import Growth
    from probes.bench.step_profile import StepProfile
    from probes.bench.stepping import StepCost

SIZES = ((80, 24), (120, 36), (160, 45))
"""Terminal sizes; the middle one alone is measured by default."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    steps: int
    """Steps in a round."""
    rounds: int
    seconds: float
    """No further round is begun after these, of each of the three timings."""
    memory_steps: int
    sizes: tuple[tuple[int, int], ...]
    recorded: int
    """Steps on the screen."""
    profiled: int
    """Steps of the profile; 0 for none."""
    keys: int
    """Keys that are timed at rest, and as many while the models step."""


QUICK = Effort(4, 7, 7.0, 60, SIZES[1:2], 10_000, 0, 20)
"""What takes at most 90 seconds on two quiet cores with the demo model."""
THOROUGH = Effort(32, 15, math.inf, 300, SIZES, 10_000, 24, 60)


@dataclass(frozen=True, slots=True)
class StepBench:
    """The measured costs."""

    dense: str
    pruned: str
    parameters: int
    """Of the dense model."""
    steps: tuple[StepCost, ...]
    """In `dense`, then in `free`, each in every way of overlapping; then in `dense` on one thread."""
    floors: tuple[Floor, ...]
    """With all threads, then with one."""
    growth: Growth
    interface: tuple[UiCost, ...]
    """At each terminal size."""
    profile: StepProfile | None = None
    keys: tuple[KeyTimes, ...] = ()
    """At rest, and while the models step."""
    no_keys: str = ""
    """Why no keys were timed."""


def bench_steps(
    spec: PairSpec, work: Work = UNWATCHED, *, prompt: str = DEFAULT_PROMPT, effort: Effort = QUICK
) -> StepBench:
    """Loads the two models and measures. Raises what loading raises."""
    from explorer.bench.interface import interface_costs
    from explorer.bench.keys import key_times
    from probes.bench.bandwidth import Floor, measure_bandwidth, weights_read
    from probes.bench.overlaps import ways_of
    from probes.bench.step_memory import growth_alone
    from probes.bench.step_profile import profile_steps
    from probes.bench.stepping import step_costs
    from probes.models.devices import input_device
    from probes.models.prompting import read_prompt
    from probes.models.tokens import TokenDecoder
    from probes.pair import load_pair
    from probes.system.threads import on_threads

    pair = load_pair(replace(spec, overlap=OverlapMode.NONE), work)
    ids = read_prompt(pair.dense.tokenizer, RunSettings(prompt)).ids
    tokens = TokenDecoder(pair.dense.tokenizer)
    models = pair.dense.model, pair.pruned.model
    weights = sum(weights_read(model) for model in models)
    device = input_device(models[0])

    def floor() -> Floor:
        work.report("Measuring the memory's bandwidth")
        return Floor(weights, measure_bandwidth(device))

    def costs(follow: Follow, ways: Mapping[str, Opened]) -> list[StepCost]:
        return step_costs(
            models,
            ids,
            ways,
            follow=follow,
            steps=effort.steps,
            rounds=effort.rounds,
            seconds=effort.seconds,
            work=work,
        )

    ways = ways_of(models, tokens, ids)
    floors = [floor()]
    found = [cost for follow in (Follow.DENSE, Follow.FREE) for cost in costs(follow, ways)]
    if device.type == "cpu" and floors[0].bandwidth.threads > 1:
        floors.append(on_threads(1, floor))
        found += on_threads(1, lambda: costs(Follow.DENSE, {"none": ways["none"]}))
    profile = None
    if effort.profiled:
        profile = profile_steps(models, tokens, ids, steps=effort.profiled, work=work)
    work.report("Measuring the memory of a step")
    grown = growth_alone(steps=effort.memory_steps)
    work.report("Measuring the interface")
    interface = interface_costs(effort.recorded, effort.sizes)
    work.report("Timing keys in a terminal")
    keys, no_keys = [], ""
    try:
        keys = key_times(spec, keys=effort.keys)
    except Failure as problem:
        no_keys = problem.message
    return StepBench(
        pair.dense.info.name,
        pair.pruned.info.name,
        pair.dense.info.parameters,
        tuple(found),
        tuple(floors),
        grown,
        tuple(interface),
        profile,
        tuple(keys),
        no_keys,
    )


def print_steps(found: StepBench, console: Console | None = None) -> None:
    """Prints the measured costs, each beside its limit."""
    from explorer.bench import interface, keys
    from explorer.bench.profile import profile_table

    console = console or Console()
    console.print(f"{found.dense} ⇄ {found.pruned}", style="bold", highlight=False, markup=False)
    console.print(_steps_table(found))
    if found.profile is not None:
        console.print(profile_table(found.profile))
    console.print(_growth_table(found.growth))
    console.print(interface.cost_table(found.interface))
    if found.keys:
        console.print(keys.key_table(found.keys))
    elif found.no_keys:
        console.print(f"Keys were not timed: {found.no_keys}", highlight=False, markup=False)


LIMITS = {Follow.DENSE: "0.70", Follow.FREE: "0.85"}
"""The largest ratio that a step should have on two cores in the fastest way of overlapping."""
ON_ONE = "1.06"
"""That of one pass after the other on one core, on the dense context."""


def _steps_table(found: StepBench) -> Table:
    first = found.steps[0]
    rounds = f"medians of {len(first.bare)} rounds of {first.steps} steps, taken in turn; in free after the split"
    table = Table(
        *("context", "overlap", "threads", "bare\nms", "ms", "ratio", "limit", "floor\nms", "MB"),
        title="One step of both models",
        caption=f"{rounds}. {_floor_words(found)}{_modules_words(found)}",
    )
    for cost in found.steps:
        floor = next((one for one in found.floors if one.bandwidth.threads == cost.threads), None)
        table.add_row(
            cost.follow,
            cost.overlap,
            f"{cost.threads}",
            f"{1000 * cost.bare_median:.1f}",
            f"{1000 * cost.measured_median:.1f}",
            f"{cost.ratio:.3f}",
            _limit(cost),
            "" if floor is None else f"{1000 * floor.seconds:.1f}",
            f"{cost.memory / 1e6:,.0f}" if cost.memory else "",
        )
    return table


def _limit(cost: StepCost) -> str:
    """The limit of this way; "" if it has none."""
    if cost.overlap != "none":
        return LIMITS.get(cost.follow, "")
    return ON_ONE if cost.threads == 1 and cost.follow is Follow.DENSE else ""


def _floor_words(found: StepBench) -> str:
    speeds = ", ".join(
        f"{one.bandwidth.fastest / 1e9:.1f} GB/s with {one.bandwidth.threads} "
        f"{'thread' if one.bandwidth.threads == 1 else 'threads'}"
        for one in found.floors
    )
    first = found.floors[0]
    return (
        f"floor: {first.weights / 1e6:,.0f} MB of weights that a step reads, at {speeds}, the faster of a sum and a "
        f"matrix-vector product over {first.bandwidth.size / 2**20:,.0f} MiB"
    )


def _modules_words(found: StepBench) -> str:
    """Why modules run at every token, if they do; torch names operations with dots."""
    why = {cost.modules for cost in found.steps if cost.modules}
    return "".join(f". The pruned model's modules run at every token: {reason}" for reason in sorted(why))


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
