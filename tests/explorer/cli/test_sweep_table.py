"""What the table of a sweep says of each curve's knee."""

from __future__ import annotations

import pytest
from rich.console import Console

from explorer.cli.sweep_table import knee_sentence, print_sweep, result_line
from probes.schema.summary import summarise
from probes.sweep.curves import curves
from tests.support.sweeps import cell, counted_row, scored, stepped, swept

SAFE, BROKEN, OPEN = counted_row(1000), counted_row(100, 100), counted_row(60, 2)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((SAFE, SAFE, BROKEN), "safe up to drop-attn:2, which removes 10.0 % of the parameters (drop-attn:3: broken)."),
        ((SAFE, OPEN), "safe up to drop-attn:1, which removes 10.0 % of the parameters (drop-attn:2: too few items)."),
        ((SAFE, SAFE), "safe up to drop-attn:2, which removes 10.0 % of the parameters (all are safe)."),
        ((OPEN, SAFE), "no knee; the smallest setting is not shown to be safe (drop-attn:1: too few items)."),
        ((BROKEN, SAFE), "no knee; the smallest setting is not shown to be safe (drop-attn:1: broken)."),
    ],
)
def test_the_knee_is_named_with_what_stops_it(rows, said):
    cells = [cell(f"drop-attn:{number}") for number in range(1, len(rows) + 1)]
    (curve,) = curves(swept(cells, [scored(one, row) for one, row in zip(cells, rows, strict=True)]))
    assert knee_sentence(curve) == f"facts, drop-attn:{{}}: {said}"


def test_a_run_that_compared_nothing_has_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    one = stepped(cell("magnitude:0.5", "prompt 1"), summarise(()))
    assert "ΣKL – nats in 0 steps" in result_line(one)
    print_sweep(swept([one.cell], [one]), Console(width=100))
    assert next(line for line in capsys.readouterr().out.splitlines() if line.startswith("magnitude")).endswith(" –")
