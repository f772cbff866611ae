"""`phier bench prune` and `phier bench methods` print the measured costs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from explorer.bench.pruning import PruneBench, print_methods, print_pruning
from probes.bench.memory import PruneMemory
from probes.bench.methods import Surveyed
from probes.bench.pruning import PASS, STEP, Timing
from probes.schema.settings import Follow
from probes.schema.summary import Summary, summarise
from tests.support.stage import scripted


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarise(scripted(Follow.DENSE).records(30))


def test_every_time_stands_beside_its_limit_and_its_notes() -> None:
    found = PruneBench(
        "SmolLM2",
        (
            Timing("wanda:0.5", 6.0, PASS, 2.5, 3.0),
            Timing("giving back", 0.001, STEP, 0.05, 0.1),
            Timing("wanda-onepass:0.4", 0.5, PASS, 2.5, None, ("The activations were reused.",)),
        ),
        (PruneMemory("wanda:0.5", 32, 538_000_000, 425_000_000, 425_000_000, 500_000_000, 426_000_000),),
    )
    console = Console(file=io.StringIO(), width=160, color_system=None)
    print_pruning(found, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if "│" in line]
    assert rows == [
        ["wanda:0.5", "6.0000", "2.400", "3", "forward pass (2.5 s)"],
        ["giving back", "0.0010", "0.020", "0.1", "decoding step (50 ms)"],
        ["wanda-onepass:0.4", "0.5000", "0.200", "", "forward pass (2.5 s)"],
        ["wanda:0.5", "32", "425.0", "425.0", "426.0", "500.0", "532.6"],
    ]
    assert "wanda-onepass:0.4: The activations were reused." in printed


def test_the_methods_are_a_table_in_markdown_however_narrow_the_terminal(summary: Summary) -> None:
    found = [Surveyed("wanda:0.5", 0.5, 6.25, summary), Surveyed("heads:0.01", 0, 0, None, "That is none.")]
    console = Console(file=io.StringIO(), width=60, color_system=None)
    print_methods(found, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == ["setting", "weights gone", "seconds", "mean KL", "ΣKL", "same top-1", "first split"]
    assert set("".join(rows[1])) <= set("-:")
    assert rows[2][:3] == ["`wanda:0.5`", "50.0 %", "6.25"]
    assert summary.kl_shared is not None
    assert float(rows[2][3]) == pytest.approx(summary.kl_shared.mean, rel=0.01)
    assert rows[3] == ["`heads:0.01`", "That is none.", "–", "–", "–", "–", "–"]
