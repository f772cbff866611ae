"""`phier bench` prints the measured costs."""

from __future__ import annotations

import io

from rich.console import Console

from explorer.bench.interface import UiCost
from explorer.bench.stepping import StepBench, print_steps
from probes.bench.stepping import Growth, StepCost
from probes.schema.settings import Follow

FOUND = StepBench(
    dense="SmolLM2",
    pruned="SmolLM2 wanda:0.5",
    steps=(
        StepCost(Follow.DENSE, 32, bare=(0.050, 0.052), measured=(0.040, 0.0416)),
        StepCost(Follow.FREE, 32, bare=(0.050,), measured=(0.065,)),
    ),
    growth=Growth(150_000, 300, resident=12_345.0, caches=1_536.0),
    interface=(UiCost(10_000, 120, 36, step=4.25, chart=0.5),),
)


def printed(found: StepBench) -> list[list[str]]:
    """The cells of every row."""
    written = io.StringIO()
    console = Console(file=written, width=120, color_system=None)
    print_steps(found, console)
    lines = written.getvalue().splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_the_report_shows_every_figure_beside_its_limit():
    assert printed(FOUND) == [
        ["dense", "51.0 ms", "40.8 ms", "0.800", "1.10"],
        ["free", "50.0 ms", "65.0 ms", "1.300", "reads a third context"],
        ["150,000", "12.3 kB", "1.5 kB", "10.8 kB", "100.0 kB"],
        ["120 × 36", "10,000", "4.2 ms", "10 ms", "0.50 ms"],
    ]
