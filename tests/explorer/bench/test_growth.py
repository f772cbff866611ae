"""Every curve of growth is measured, on sizes that take no time."""

from __future__ import annotations

import io

from rich.console import Console

from explorer.bench import interface
from explorer.bench.growth import LIMITS, GrowthBench, bench_growth, print_growth
from explorer.bench.interface import UiCost
from probes.bench.growing import GrowthSizes
from probes.bench.power_fit import GrowthCurve
from probes.bench.random_models import Shape

SMALL = GrowthSizes(Shape(32, 2, 64), (16, 32), (1, 2), (32, 64), (4, 8), (8, 16), rounds=1, steps=1)


def test_all_curves_are_measured(monkeypatch):
    monkeypatch.setattr(
        interface, "interface_costs", lambda steps, sizes: [UiCost(steps, sizes[0][0], sizes[0][1], 4.0, 0.1)]
    )
    found = bench_growth(sizes=SMALL, steps=(5, 10), rounds=1)
    assert [(one.what, one.over.split()[0], one.limit) for one in found.curves] == [
        ("step", "bytes", 1),
        ("step", "layers", 1),
        ("step", "vocabulary", 1),
        ("step", "tokens", 1),
        ("prefill", "tokens", 2),
        ("comparison", "vocabulary", 1),
        ("comparison", "hidden", 1),
        ("recording", "recorded", 1),
        ("opening", "recorded", 1),
        ("comparing", "recorded", 1),
        ("exporting", "recorded", 1),
        ("work of the screen a step", "recorded", 1),
    ]
    for one in found.curves:
        assert len(one.sizes) == len(one.seconds) == 2
        assert min(one.seconds) > 0
    width, depth = found.curves[0].sizes, found.curves[1].sizes
    assert width[1] > 2 * width[0]
    assert depth == (1, 2)
    assert found.help_seconds > 0
    assert found.ratios.keys() == LIMITS.keys()


def test_what_grows_faster_than_its_limit_is_marked():
    curves = (
        GrowthCurve("opening", "recorded steps", (10, 20, 40), (0.1, 0.2, 0.4)),
        GrowthCurve("comparing", "recorded steps", (10, 20, 40), (0.1, 0.4, 1.6)),
    )
    written = io.StringIO()
    print_growth(GrowthBench(curves, 0.4), Console(file=written, width=140, color_system=None))
    rows = [line.split("│")[1:-1] for line in written.getvalue().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["opening", "recorded steps", "10 – 40", "100.0 – 400.0", "1.00 ± 0.00", "1", "yes"],
        ["comparing", "recorded steps", "10 – 40", "100.0 – 1,600.0", "2.00 ± 0.00", "1", "NO"],
        ["opening", "0.40", "1.0", "10"],
        ["comparing", "1.60", "4.0", "10"],
    ]


def test_no_word_is_cut_in_eighty_columns():
    curves = (GrowthCurve("comparison", "vocabulary", (1000, 20_000, 200_000), (0.1, 2.0, 20.0)),)
    written = io.StringIO()
    print_growth(GrowthBench(curves, 0.4), Console(file=written, width=80, color_system=None))
    assert "…" not in written.getvalue()
