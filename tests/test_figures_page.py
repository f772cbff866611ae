"""docs/figures.md has a formula for every figure of a step's record, and for no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures, StepRecord, Sums
from probes.schema.summary import Summary

PAGE = (Path(__file__).parents[1] / "docs" / "figures.md").read_text("utf-8")
GROUPS = {"h": HiddenFigures, "z": LogitFigures, "p": ProbabilityFigures, "sum": Sums}
NOT_FIGURES = {"step", "dense", "pruned", "taken", "taken_pruned", "same_context", "own", "shared", "sum", "invalid"}
"""Keys of a step that hold no figure, or the groups of them."""


def names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


IN_STEP = {f"{group}.{name}" for group, kind in GROUPS.items() for name in names(kind)} | (
    names(StepRecord) - NOT_FIGURES
)


def named(page: str) -> set[str]:
    """The names in the first column of the table of figures, and the summary's beside their formulas."""
    rows = re.findall(r"^\| (`.*?) \|(.*)$", page.partition("## Contexts")[0], re.MULTILINE)
    return {name for first, rest in rows for name in re.findall(r"`([\w.]+)`", first + in_summary(rest))}


def in_summary(formula: str) -> str:
    return "".join(re.findall(r"\(summary: (.*?)\)", formula))


def test_every_figure_of_a_step_has_a_formula() -> None:
    assert IN_STEP - named(PAGE) == set()


def test_every_name_is_of_a_step_or_of_the_summary() -> None:
    assert named(PAGE) - IN_STEP - names(Summary) == set()


def test_a_row_that_is_missing_or_misspelled_is_found() -> None:
    assert IN_STEP - named(PAGE.replace("`p.tv`", "`p.total`")) == {"p.tv"}
    assert "p.total" in named(PAGE.replace("`p.tv`", "`p.total`"))
