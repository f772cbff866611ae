"""One thing is not counted as many."""

from __future__ import annotations

from probes.schema.counting import number_of


def test_only_one_is_singular() -> None:
    assert [number_of(count, "step") for count in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
