"""docs/performance.md shows what the kept file of this release holds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("performance", ROOT / "docs" / "performance.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_kept_file(maker: Any) -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert maker.written(page, json.loads(maker.KEPT.read_text("utf-8"))) == page


def test_the_kept_file_has_all_that_was_measured(maker: Any) -> None:
    kept = json.loads(maker.KEPT.read_text("utf-8"))
    assert kept.keys() == set(maker.BENCHMARKS)
    for name, found in kept.items():
        assert found["benchmark"] == name
        assert found["versions"]["phier"] == maker.VERSION
        assert {"date", "seconds", "machine"} <= found.keys()
    assert {one["follow"] for one in kept["steps"]["steps"]} == {"dense", "free"}
    assert {"step", "prefill", "comparison", "recording", "opening", "comparing", "exporting"} <= {
        one["what"] for one in kept["growth"]["curves"]
    }
    assert sum(one["share"] for one in kept["profile"]["profile"]["parts"]) == pytest.approx(1)
