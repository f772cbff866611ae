"""`phier bench explain` prints each cost beside its limit, and every planted fault with its rank."""

from __future__ import annotations

import io

from rich.console import Console

from explorer.bench.explanations import ExplainBench, print_explain
from probes.bench.estimate_memory import EstimateMemory
from probes.bench.explanations import STEP, ExplainCost, ExplainCosts
from probes.bench.plants import Plant
from probes.schema.part import Part


def printed(found: ExplainBench) -> str:
    written = io.StringIO()
    print_explain(found, Console(file=written, width=120, color_system=None))
    return written.getvalue()


def test_costs_are_beside_their_limits() -> None:
    cost = ExplainCost("layers at a new position", (0.3, 0.4, 0.2), STEP, (0.1, 0.2, 0.1), 4.0)
    shown = printed(ExplainBench("dense", "pruned", ExplainCosts((cost,), EstimateMemory(62_880_000, 63_000_000)), ()))
    (row,) = [line for line in shown.splitlines() if "layers at" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("layers at a new position", "0.300", "2.00", "4", "decoding step")
    ]
    (row,) = [line for line in shown.splitlines() if "memory" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("memory of the estimate", "–", "62.88", "63.00", "MB beyond the models")
    ]


def test_faults_are_counted() -> None:
    plants = (
        Plant("noise", Part("mlp", 3), 1, 2, 0.25, 1.5, 0.25),
        Plant("zeroed", Part("attn", 1), 2, None, 0.25, 0.5, 0.25),
        Plant("zeroed", Part("attn", 2), 9, None, 0.25, 0.26, 0.25),
    )
    shown = " ".join(printed(ExplainBench("dense", "pruned", None, plants)).split())
    assert "2 of 3 faults raise the KL, 0.25 without one" in shown
    assert "the damaged sublayer heals most in 1 and is among the first two in 2" in shown
    assert "Of all 3 it heals most in 1." in shown
    assert "attn 1 │ 2 │ – │ 0.5 │ 0.25" in shown
