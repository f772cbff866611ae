"""A measurement in a process of its own that fails tells why."""

from __future__ import annotations

import pytest

from probes.bench.alone import alone
from probes.schema.errors import Failure


def test_a_failure_says_what_the_process_said_last() -> None:
    with pytest.raises(Failure, match="No module named"):
        alone("probes.bench.no_such_module")
