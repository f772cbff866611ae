"""One thing is not counted as many."""

from __future__ import annotations

from probes.schema.counting import noun_for, number_of


def test_only_one_is_singular() -> None:
    assert [number_of(count, "step") for count in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert [noun_for(count, "set") for count in (0, 1, 2)] == ["sets", "set", "sets"]
