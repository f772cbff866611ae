"""Quantiles of figures over steps."""

from __future__ import annotations

import math

import pytest

from probes.schema.summary import quantile

INFINITE = [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, math.inf), (1.0, math.inf)]


@pytest.mark.parametrize(("share", "expected"), INFINITE)
def test_an_infinite_value_moves_only_the_quantiles_above_its_neighbour(share: float, expected: float) -> None:
    assert quantile([1.0, 2.0, math.inf], share) == expected
