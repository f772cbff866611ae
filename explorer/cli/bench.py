"""`phier bench`: what the program costs on this machine, and what each method does."""

from __future__ import annotations

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, takes
from explorer.cli.read_options import text_of
from explorer.words.defaults import DEFAULT_PROMPT, DEFAULT_PRUNE, LIGHT_PRUNE
from probes.schema.errors import BadInput
from probes.schema.nearest import did_you_mean
from probes.schema.prune_setting import parse
from probes.schema.spec import PairSpec

_BENCHMARKS = ("steps", "prune", "methods", "explain", "score")


@click.command("bench", cls=ShellCommand)
@argument(
    "benchmark",
    default="steps",
    help="steps: a step against a bare loop of the two models, memory and interface. prune: time and memory of "
    "pruning. methods: every method at a few amounts, as a table in Markdown. explain: what explaining a token costs. "
    "score: scoring a text against stepping through it. "
    "[default: steps]",
)
@takes(PairSpec, only=("dense", "device", "threads"))
@option(
    "--prune",
    multiple=True,
    help="steps, explain, score: the setting of the pruned model. methods: the settings in the table.",
)
@option("--prompt", may_be_empty=True, help="All but prune: the prompt; - reads standard input.")
@option(
    "--steps", type=click.IntRange(min=1), help="methods: how many tokens the methods are compared on. [default: 64]"
)
@option(
    "--plants",
    type=click.IntRange(min=1),
    help=f"explain: plant so many faults, and count how many are found. --prune is {LIGHT_PRUNE} then, unless given.",
)
def bench_command(
    typed: Typed,
    benchmark: str,
    prune: tuple[str, ...],
    prompt: str | None,
    steps: int | None,
    plants: int | None,
) -> None:
    """Measure what the program costs here, or compare the methods."""
    if benchmark not in _BENCHMARKS:
        hint = f"{did_you_mean(benchmark, _BENCHMARKS)}Use steps, prune, methods, explain or score."
        raise BadInput("Bench", f"Unknown benchmark {benchmark!r}.", hint)
    if benchmark != "methods":
        typed.refuse(("steps",), f"on `bench {benchmark}`", "Leave it out, or use methods.")
    if benchmark != "explain":
        typed.refuse(("plants",), f"on `bench {benchmark}`", "Leave it out, or use explain.")
    if benchmark == "prune":
        why = "on `bench prune`, which has its own settings and prompt"
        typed.refuse(("prune", "prompt"), why, "Leave --prune and --prompt out.")
    if benchmark in ("steps", "explain", "score") and len(prune) > 1:
        raise BadInput("Bench", f"`bench {benchmark}` measures one setting.", "Give --prune once, or use methods.")
    from probes.early import check_early

    default = LIGHT_PRUNE if plants else DEFAULT_PRUNE
    specs = [typed.build(PairSpec, prune=parse(setting)) for setting in prune or (default,)]
    for spec in specs:
        check_early(spec)
    text = text_of(DEFAULT_PROMPT if prompt is None else prompt)
    from rich.console import Console

    from explorer.bench import explanations, pruning, scoring, stepping
    from explorer.cli.progress_bar import Bar

    bar = Bar(Console(stderr=True))
    if benchmark == "steps":
        with bar:
            step_costs = stepping.bench_steps(specs[0], bar.work, prompt=text)
        stepping.print_steps(step_costs)
    elif benchmark == "explain":
        with bar:
            explain_costs = explanations.bench_explain(specs[0], bar.work, prompt=text, plants=plants or 0)
        explanations.print_explain(explain_costs)
    elif benchmark == "score":
        with bar:
            score_costs = scoring.bench_score(specs[0], bar.work, prompt=text)
        scoring.print_score_bench(score_costs)
    elif benchmark == "prune":
        with bar:
            prune_costs = pruning.bench_pruning(specs[0], bar.work)
        pruning.print_pruning(prune_costs)
    else:
        with bar:
            surveyed = pruning.bench_methods(specs[0], text, prune, steps or 64, bar.work)
        pruning.print_methods(surveyed)
