"""What the table of a sweep says of each curve's knee."""

from __future__ import annotations

import pytest

from explorer.cli.sweep_table import knee_sentence
from probes.sweep.curves import curves
from tests.support.sweeps import cell, counted_row, scored, swept

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
