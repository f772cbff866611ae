"""docs/figures.md names every field of a step and of a run's summary once, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from probes.schema.flat_step import FlatStep
from probes.schema.summary import Summary

PAGE = Path(__file__).parents[1] / "docs" / "figures.md"


def documented(section: str) -> Counter[str]:
    """The names in the first column of a section's tables."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## )", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return Counter(name for cell in cells for name in re.findall(r"`([^`]+)`", cell))


def names(shape: type, before: str = "") -> Iterator[str]:
    """The full names of a type's fields in JSON. `shared` has the fields of the step's own comparison again."""
    for name, hint in get_type_hints(shape).items():
        inner = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and _has_fields(kind)]
        if inner and before != "shared.":
            yield from names(inner[0], f"{before}{name}.")
        else:
            yield before + name


def _has_fields(kind: type) -> bool:
    return is_dataclass(kind) or issubclass(kind, msgspec.Struct)


@pytest.mark.parametrize(
    ("section", "expected"),
    [("Of a step", [*names(FlatStep), "nonfinite"]), ("Of a run", [*names(Summary)])],
)
def test_the_page_names_every_field_once_and_no_other(section: str, expected: list[str]) -> None:
    assert "p.kl" in expected or "kl.mean" in expected
    assert documented(section) == Counter(expected)
