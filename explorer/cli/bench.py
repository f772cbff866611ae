"""`phier bench`: what the program costs on this machine, and what each method does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, takes
from explorer.cli.read_options import text_of
from explorer.words.defaults import DEFAULT_PROMPT, DEFAULT_PRUNE, LIGHT_PRUNE
from probes.schema.errors import BadInput, Failure
from probes.schema.nearest import did_you_mean
from probes.schema.prune_setting import parse
from probes.schema.spec import PairSpec
from probes.system.progress import Work


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a benchmark, read."""

    specs: tuple[PairSpec, ...]
    """One for each setting."""
    settings: tuple[str, ...]
    """Those that were typed."""
    prompt: str
    steps: int
    plants: int
    thorough: bool


Printed = tuple[object, Callable[[], None]]
"""What was found, and what prints it."""


def _steps(asked: Asked, work: Work) -> Printed:
    from explorer.bench import stepping

    effort = stepping.THOROUGH if asked.thorough else stepping.QUICK
    found = stepping.bench_steps(asked.specs[0], work, prompt=asked.prompt, effort=effort)
    return found, lambda: stepping.print_steps(found)


def _profile(asked: Asked, work: Work) -> Printed:
    from explorer.bench import profile

    found = profile.bench_profile(asked.specs[0], work, prompt=asked.prompt)
    return found, lambda: profile.print_profile(found)


def _growth(_: Asked, work: Work) -> Printed:
    from explorer.bench import growth

    found = growth.bench_growth(work)
    return found, lambda: growth.print_growth(found)


def _gpu(asked: Asked, work: Work) -> Printed:
    from probes.bench.gpu import bench_gpu, gpu_device, gpu_plan

    name = asked.specs[0].load.device
    found = bench_gpu(gpu_device("cuda" if name == "auto" else name), gpu_plan(), work.report)
    return found, lambda: None


def _explain(asked: Asked, work: Work) -> Printed:
    from explorer.bench import explanations

    found = explanations.bench_explain(asked.specs[0], work, prompt=asked.prompt, plants=asked.plants)
    return found, lambda: explanations.print_explain(found)


def _score(asked: Asked, work: Work) -> Printed:
    from explorer.bench import scoring

    found = scoring.bench_score(asked.specs[0], work, prompt=asked.prompt)
    return found, lambda: scoring.print_score_bench(found)


def _prune(asked: Asked, work: Work) -> Printed:
    from explorer.bench import pruning

    found = pruning.bench_pruning(asked.specs[0], work)
    return found, lambda: pruning.print_pruning(found)


def _methods(asked: Asked, work: Work) -> Printed:
    from explorer.bench import pruning

    found = pruning.bench_methods(asked.specs[0], asked.prompt, asked.settings, asked.steps, work)
    return found, lambda: pruning.print_methods(found)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark: what measures, the options of its own, and what its help says."""

    measure: Callable[[Asked, Work], Printed]
    takes: frozenset[str]
    help: str


_MODELS = frozenset(("dense", "device", "threads"))
_PAIR = _MODELS | {"prune", "prompt"}
BENCHMARKS = {
    "steps": Benchmark(
        _steps,
        _PAIR | {"thorough"},
        "a step against a bare loop of the two models and the memory's own limit, memory and interface.",
    ),
    "profile": Benchmark(_profile, _PAIR, "where the time of a step goes."),
    "growth": Benchmark(_growth, frozenset(), "how times grow with the sizes of models and recordings."),
    "gpu": Benchmark(
        _gpu,
        frozenset(("device",)),
        "checks and times on a GPU, as one JSON object.",
    ),
    "prune": Benchmark(_prune, _MODELS, "time and memory of pruning."),
    "methods": Benchmark(_methods, _PAIR | {"steps"}, "every method at a few amounts, as a table in Markdown."),
    "explain": Benchmark(_explain, _PAIR | {"plants"}, "what explaining a token costs."),
    "score": Benchmark(_score, _PAIR, "scoring a text against stepping through it."),
}
_OWN = ("dense", "device", "threads", "prune", "prompt", "steps", "plants", "thorough")


@click.command("bench", cls=ShellCommand)
@argument(
    "benchmark",
    default="steps",
    help=" ".join(f"{name}: {one.help}" for name, one in BENCHMARKS.items()) + " [default: steps]",
)
@takes(PairSpec, only=("dense", "device", "threads"))
@option(
    "--prune",
    multiple=True,
    help="The setting of the pruned model. methods: the settings in the table.",
)
@option("--prompt", may_be_empty=True, help="The prompt; - reads standard input.")
@option(
    "--steps", type=click.IntRange(min=1), help="methods: how many tokens the methods are compared on. [default: 64]"
)
@option(
    "--plants",
    type=click.IntRange(min=1),
    help=f"explain: plant so many faults, and count how many are found. --prune is {LIGHT_PRUNE} then, unless given.",
)
@option("--thorough", is_flag=True, help="steps: more rounds, more terminal sizes, and the profile.")
@option(
    "--json",
    "json_to",
    metavar="FILE",
    help="Write all that was found to this file as one JSON object, with versions, cores and date; - prints it "
    "instead of the tables.",
)
def bench_command(
    typed: Typed,
    benchmark: str,
    prune: tuple[str, ...],
    prompt: str | None,
    steps: int | None,
    plants: int | None,
    thorough: bool,
    json_to: str | None,
) -> None:
    """Measure what the program costs here, or compare the methods."""
    if benchmark not in BENCHMARKS:
        *others, last = BENCHMARKS
        hint = f"{did_you_mean(benchmark, tuple(BENCHMARKS))}Use {', '.join(others)} or {last}."
        raise BadInput("Bench", f"Unknown benchmark {benchmark!r}.", hint)
    chosen = BENCHMARKS[benchmark]
    for name in _OWN:
        if name not in chosen.takes:
            takers = [other for other, one in BENCHMARKS.items() if name in one.takes]
            typed.refuse((name,), f"on `bench {benchmark}`", f"Leave it out, or use {' or '.join(takers)}.")
    if benchmark != "methods" and len(prune) > 1:
        raise BadInput("Bench", f"`bench {benchmark}` measures one setting.", "Give --prune once, or use methods.")
    _check_file(json_to)
    from probes.early import check_early

    default = LIGHT_PRUNE if plants else DEFAULT_PRUNE
    specs = tuple(typed.build(PairSpec, prune=parse(setting)) for setting in prune or (default,))
    if chosen.takes:
        for spec in specs:
            check_early(spec)
    text = text_of(DEFAULT_PROMPT if prompt is None else prompt)
    asked = Asked(specs, prune, text, steps or 64, plants or 0, thorough)
    from rich.console import Console

    from explorer.cli.progress_bar import Bar

    begun, load = time.monotonic(), os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    bar = Bar(Console(stderr=True))
    with bar:
        found, show = chosen.measure(asked, bar.work)
    if benchmark == "gpu" and json_to is None:
        json_to = "-"
    _write(benchmark, found, show, time.monotonic() - begun, load, json_to)
    if getattr(found, "passed", True) is False:
        raise Failure("Checks failed", "Some checks failed; each is in the object with its error.", "")


def _check_file(json_to: str | None) -> None:
    """Raises `BadInput` if the file could not be written after all the work."""
    if json_to in (None, "-"):
        return
    place = Path(str(json_to))
    if place.is_dir() or not place.parent.is_dir():
        problem = "is a folder" if place.is_dir() else f"can't be made: there is no folder {place.parent}"
        raise BadInput("Bench", f"{place} {problem}.", "Name a file in a folder that exists.")


def _write(
    benchmark: str, found: object, show: Callable[[], None], seconds: float, load: float | None, json_to: str | None
) -> None:
    from probes.bench.report import as_text, report

    if json_to != "-":
        show()
    if json_to is None:
        return
    text = as_text(report(benchmark, found, seconds, load))
    if json_to == "-":
        click.echo(text)
    else:
        from probes.system.files import replace_file

        replace_file(Path(json_to), text + "\n")
