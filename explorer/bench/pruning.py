"""`phier bench prune` and `phier bench methods`: the cost of pruning, and a comparison of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.words import numbers
from explorer.words.token_text import flowing
from probes.schema.spec import PairSpec
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from probes.bench.memory import PruneMemory
    from probes.bench.methods import Surveyed
    from probes.bench.pruning import Timing
    from probes.models.loaded import Loaded

MEMORY = (
    ("drop-attn@layers=0-3", 0),
    ("magnitude:0.5", 0),
    ("wanda:0.5@mlp", 16),
    ("wanda:0.5", 16),
    ("wanda:0.5", 64),
    ("sparsegpt:0.5", 16),
)
"""Settings whose memory is measured, each with its number of calibration samples."""


@dataclass(frozen=True, slots=True)
class PruneBench:
    """The measured costs."""

    dense: str
    timings: tuple[Timing, ...]
    memory: tuple[PruneMemory, ...]


def bench_pruning(spec: PairSpec, work: Work = UNWATCHED) -> PruneBench:
    """Measures the time and memory of pruning; minutes on the demo model. Raises what loading and pruning raise."""
    from probes.bench.memory import measure_memory
    from probes.bench.pruning import timings

    memory = []
    for done, (setting, samples) in enumerate(MEMORY):  # first, while this process holds no model itself
        work.report("Measuring memory", done, len(MEMORY), "settings")
        memory.append(measure_memory(setting, samples, spec.dense))
    dense = _loaded(spec, work)
    return PruneBench(dense.info.name, tuple(timings(dense, work=work)), tuple(memory))


def bench_methods(
    spec: PairSpec, prompt: str, settings: Sequence[str], steps: int, work: Work = UNWATCHED
) -> list[Surveyed]:
    """Carries out settings, by default every method at a few amounts, and measures each on the same tokens."""
    from probes.bench.methods import every_setting, survey

    dense = _loaded(spec, work)
    settings = settings or every_setting()
    return survey(dense, prompt, settings, steps=steps, calibration=spec.calibration, work=work)


def _loaded(spec: PairSpec, work: Work) -> Loaded:
    from probes.models.loaded import load, with_fingerprint
    from probes.system.threads import use_threads

    dense = with_fingerprint(load(spec.dense, spec.load, work))
    use_threads(dense.model, spec.load.threads)
    return dense


def print_pruning(found: PruneBench, console: Console | None = None) -> None:
    """Prints the measured costs, each beside its limit."""
    console = console or Console()
    console.print(flowing(found.dense), style="bold", highlight=False, markup=False)
    console.print(_timings(found.timings))
    console.print(_memory(found.memory))


def _timings(found: Sequence[Timing]) -> Table:
    notes = [f"{one.what}: {note}" for one in found for note in one.notes]
    table = Table(title="Time", caption=Text("\n".join(notes)), caption_justify="left")
    table.add_column("change")
    for title in ("seconds", "ratio", "limit", "of a"):
        table.add_column(title, justify="left" if title == "of a" else "right", no_wrap=True)
    for one in found:
        limit = "" if one.limit is None else f"{one.limit:g}"
        unit = f"{one.per} ({1000 * one.unit:.0f} ms)" if one.unit < 1 else f"{one.per} ({one.unit:.1f} s)"
        table.add_row(Text(one.what), f"{one.seconds:.4f}", f"{one.ratio:.3f}", limit, unit)
    return table


def _memory(found: Sequence[PruneMemory]) -> Table:
    caption = (
        "MB, each in a process of its own. own: what the twin holds beside the dense model; left: what the process "
        "grew by; limit: the pruned matrices and 20 % of the dense weights."
    )
    table = Table(title="Memory beyond the dense model", caption=caption, caption_justify="left")
    table.add_column("setting")
    for title in ("samples", "matrices", "own", "left", "peak", "limit"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in found:
        sizes = (one.matrices, one.own, one.left, one.peak, one.limit)
        table.add_row(Text(one.setting), str(one.samples or "–"), *(f"{size / 1e6:,.1f}" for size in sizes))
    return table


def print_methods(found: Sequence[Surveyed], console: Console | None = None) -> None:
    """Prints the comparison as a table in Markdown."""
    table = Table(box=box.MARKDOWN, show_edge=True)
    for title in ("setting", "weights gone", "seconds", "mean KL", "ΣKL", "same top-1", "first split"):
        table.add_column(title, justify="left" if title == "setting" else "right", no_wrap=True)
    for one in found:
        table.add_row(Text(f"`{one.setting}`"), *_cells(one))
    console = console or Console()
    console.width = Console(width=10_000).measure(table).maximum  # a row that is broken is no row in Markdown
    console.print(table)


def _cells(one: Surveyed) -> tuple[str, ...]:
    summary = one.summary
    if summary is None:
        return (one.problem, *("–",) * 5)
    return (
        f"{100 * one.gone:.1f} %",
        f"{one.seconds:.2f}",
        numbers.significant(summary.kl_shared.mean) if summary.kl_shared else numbers.NONE,
        numbers.significant(summary.kl_shared_sum),
        numbers.percent(summary.agree_rate),
        str(summary.first_split or "none"),
    )
