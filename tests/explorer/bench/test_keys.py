"""Keys are timed from outside, in a terminal of their own."""

from __future__ import annotations

import os
import sys

import pytest

from explorer.bench.keys import LEFT, InTerminal, KeyTimes, arguments_of
from probes.schema.errors import Failure
from probes.schema.prune_setting import parse
from probes.schema.spec import LoadOptions, PairSpec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no pseudo-terminals")


def test_a_program_that_ends_or_says_nothing_is_named() -> None:
    terminal = InTerminal([sys.executable, "-c", "print('only this')"])
    try:
        terminal.press(LEFT)
        with pytest.raises(Failure, match="only this"):
            terminal.until("something else", 20)
    finally:
        terminal.close()


def test_the_models_are_those_of_the_benchmark() -> None:
    spec = PairSpec("folder", prune=parse("wanda:0.3+drop-block:3"), load=LoadOptions(device="cpu", threads=1))
    given = arguments_of(spec)
    assert given[:4] == ["--dense", "folder", "--prune", "wanda:0.3+drop-block:3"]
    assert given[-4:] == ["--device", "cpu", "--threads", "1"]


def test_a_quantile_is_a_time_that_was_measured() -> None:
    times = KeyTimes("running", 9, (0.03, 0.01, 0.02, 0.09))
    assert (times.quantile(0.5), times.quantile(0.95), times.quantile(1)) == (0.03, 0.09, 0.09)
