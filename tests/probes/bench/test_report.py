"""What a benchmark found becomes one JSON object."""

from __future__ import annotations

import json
import math
from datetime import datetime

from probes.bench.bandwidth import Bandwidth, Floor
from probes.bench.report import as_text, plain, report
from probes.bench.stepping import StepCost
from probes.schema.settings import Follow

COST = StepCost(Follow.DENSE, "none", 2, 1, bare=(1.0, 2.0), measured=(1.5, 3.5), memory=7)


def test_an_object_has_the_fields_and_the_properties() -> None:
    assert plain(COST) == {
        "follow": "dense",
        "overlap": "none",
        "threads": 2,
        "steps": 1,
        "bare": [1.0, 2.0],
        "measured": [1.5, 3.5],
        "memory": 7,
        "modules": "",
        "bare_median": 1.5,
        "measured_median": 2.5,
        "ratio": 1.625,
    }
    floor = plain(Floor(6, Bandwidth("cpu", 1, 1, 2.0, 3.0)))
    assert (floor["seconds"], floor["bandwidth"]["fastest"]) == (2.0, 3.0)


def test_what_is_not_finite_is_null_and_unknown_things_are_text() -> None:
    assert plain({"a": math.nan, 2: (math.inf, None, True), "c": 1j}) == {"a": None, "2": [None, None, True], "c": "1j"}


def test_a_report_names_versions_machine_and_date() -> None:
    read = json.loads(as_text(report("steps", COST, 12.34)))
    assert (read["format"], read["benchmark"], read["seconds"]) == (1, "steps", 12.3)
    assert {"python", "phier", "torch", "transformers"} <= read["versions"].keys()
    assert read["machine"]["cores"] >= 1
    assert read["machine"]["threads"] >= 1
    assert read["machine"]["processor"]
    assert datetime.fromisoformat(read["date"]).tzinfo is not None
    assert read["ratio"] == 1.625
