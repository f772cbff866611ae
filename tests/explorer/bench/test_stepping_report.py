"""`phier bench` prints the measured costs."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from explorer.bench.interface import UiCost
from explorer.bench.keys import KeyTimes
from explorer.bench.stepping import StepBench, print_steps
from probes.bench.bandwidth import Bandwidth, Floor
from probes.bench.step_memory import Growth
from probes.bench.step_profile import PartTime, StepProfile
from probes.bench.stepping import StepCost
from probes.schema.settings import Follow

FOUND = StepBench(
    dense="SmolLM2",
    pruned="SmolLM2 wanda:0.5",
    parameters=134_515_008,
    steps=(
        StepCost(Follow.DENSE, "threads", 2, 6, bare=(0.050, 0.052), measured=(0.040, 0.0416), memory=1_234_000_000),
        StepCost(Follow.FREE, "process", 2, 6, bare=(0.050,), measured=(0.065,)),
        StepCost(Follow.DENSE, "none", 1, 6, bare=(0.080,), measured=(0.084,)),
    ),
    floors=(
        Floor(200_000_000, Bandwidth("cpu", 2, 2**29, 9e9, 1e10)),
        Floor(200_000_000, Bandwidth("cpu", 1, 2**29, 8e9, 5e9)),
    ),
    growth=Growth(150_000, 300, resident=12_345.0, caches=1_536.0),
    interface=(UiCost(10_000, 120, 36, step=4.25, chart=0.5),),
    profile=StepProfile(
        8, 2, (PartTime("attention", 0.03, 0.75, 0.02, 0.001), PartTime("record", 0.01, 0.25, 0.004, 0.0)), 0.039
    ),
    keys=(KeyTimes("at rest", 30, (0.02,) * 90 + (0.04,) * 9 + (0.05,)),),
)


def printed(found: StepBench, width: int = 120) -> tuple[str, list[list[str]]]:
    """All of it, and the cells of every row."""
    written = io.StringIO()
    console = Console(file=written, width=width, color_system=None)
    print_steps(found, console)
    lines = written.getvalue().splitlines()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    return " ".join(written.getvalue().split()), rows


def test_the_report_shows_every_figure_beside_its_limit_and_the_floor():
    text, rows = printed(FOUND)
    assert rows == [
        ["dense", "threads", "2", "51.0", "40.8", "0.800", "0.70", "20.0", "1,234"],
        ["free", "process", "2", "50.0", "65.0", "1.300", "0.85", "20.0", ""],
        ["dense", "none", "1", "80.0", "84.0", "1.050", "1.06", "25.0", ""],
        ["attention", "30.00", "75.0%", "20.00", "1.00", "10.00"],
        ["record", "10.00", "25.0%", "4.00", "0.00", "6.00"],
        ["step", "40.00", "100.0%", "24.00", "1.00", "16.00"],
        ["150,000", "12.3 kB", "1.5 kB", "10.8 kB", "100.0 kB"],
        ["120 × 36", "10,000", "4.2 ms", "6 ms", "0.50 ms"],
        ["at rest", "20", "40", "45", "50", "100"],
    ]
    assert "200 MB of weights that a step reads, at 10.0 GB/s with 2 threads, 8.0 GB/s with 1 thread" in text


def test_no_word_is_cut_in_eighty_columns():
    text, rows = printed(FOUND, width=80)
    assert "…" not in text
    assert ["dense", "threads", "2", "51.0", "40.8", "0.800", "0.70", "20.0", "1,234"] in rows


def test_keys_that_could_not_be_timed_are_not_passed_over():
    text, _ = printed(replace(FOUND, keys=(), no_keys="This system has no pseudo-terminals."))
    assert "Keys were not timed: This system has no pseudo-terminals." in text
