"""Quantiles of figures over steps."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from probes.schema.summary import Tally, quantile, summarise
from tests.support.records import recorded_events, records, with_own

INFINITE = [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, math.inf), (1.0, math.inf)]


@pytest.mark.parametrize(("share", "expected"), INFINITE)
def test_an_infinite_value_moves_only_the_quantiles_above_its_neighbour(share: float, expected: float) -> None:
    assert quantile([1.0, 2.0, math.inf], share) == expected


def test_a_summary_of_a_growing_path_is_that_of_the_whole_path() -> None:
    """Divergences in any order, some undefined: those count as the largest."""
    figures = [random.Random(1).random() for _ in range(99)]
    figures[7] = figures[60] = math.nan
    first = records(recorded_events(1))[0]
    assert first.own is not None
    path = [replace(with_own(first, p=replace(first.own.p, kl=kl)), step=step) for step, kl in enumerate(figures, 1)]
    growing = Tally()
    for step, record in enumerate(path, 1):
        growing.add(record)
        spread = growing.summary().kl
        assert spread is not None
        known = sorted(kl for kl in figures[:step] if not math.isnan(kl))
        assert spread.median == quantile([*known, *[math.nan] * (step - len(known))], 0.5)
    assert repr(growing.summary()) == repr(summarise(path))
