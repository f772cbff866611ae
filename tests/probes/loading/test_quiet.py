"""What transformers would draw as bars is told as work."""

from __future__ import annotations

import pytest
from transformers.utils import logging

from probes.errors import Cancelled
from probes.events import WorkProgressed
from probes.loading.quiet import reporting
from probes.loading.work import Work


def told(count: int, stop: int = 99) -> list[WorkProgressed]:
    """What is told of a bar over so many things."""
    found: list[WorkProgressed] = []
    with reporting(Work(found.append, lambda: len(found) >= stop), "Loading"):
        assert list(logging.tqdm(range(count), desc="weights")) == list(range(count))
    return found


def test_a_bar_is_told_thing_by_thing() -> None:
    things = [WorkProgressed("Loading", done, 3, "tensors") for done in range(3)]
    assert told(3) == [*things, WorkProgressed("Loading")]


def test_a_bar_over_one_thing_says_only_that_it_goes_on() -> None:
    assert told(1) == [WorkProgressed("Loading")] * 2


def test_cancelled_work_ends_a_bar() -> None:
    with pytest.raises(Cancelled):
        told(3, stop=2)
