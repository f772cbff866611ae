"""Every figure on a panel is defined once, as docs/figures.md defines it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from explorer.ui.keymap import every_command
from explorer.ui.widgets.named_figures import NamedFigures
from explorer.words.definitions import DEFINITIONS, Definition
from explorer.words.figures import FIGURES
from explorer.words.result_definitions import RESULT_DEFINITIONS
from explorer.words.summary_figures import SUMMARY_FIGURES

PAGE = Path(__file__).parents[3] / "docs" / "figures.md"
ROWS = [
    tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:4])
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| ---")
]
"""The tables of the page: names, formula, range."""
DERIVED = {"gap": "1 − cosine", "ratio": "estimate / true", "amplification": "amplification"}
"""Figures of the panels that the JSON lacks, by their rows in the page."""


def rows_of(key: str) -> list[tuple[str, ...]]:
    """The page's rows about a figure, by its own name or by that of the sum it is the last value of."""
    of = {key, f"sum.{key}", {"kl_shared_sum": "sum.kl_shared", "kl_sum": "sum.kl"}.get(key, key)}
    of |= {key.replace("kl_shared.", "kl.")}
    found = [row for row in ROWS if of & set(re.findall(r"`([^`]+)`", row[0]))]
    return found or [row for row in ROWS if any(row[0] == name for end, name in DERIVED.items() if end in key)]


def test_every_figure_of_a_panel_is_defined() -> None:
    assert set(DEFINITIONS) == set(FIGURES) | set(SUMMARY_FIGURES)


@pytest.mark.parametrize("one", DEFINITIONS.values(), ids=lambda one: one.key)
def test_a_definition_says_what_the_page_says(one: Definition) -> None:
    rows = rows_of(one.key)
    assert rows, "the page has no such figure"
    assert any(one.formula in row[1] for row in rows), [row[1] for row in rows]
    assert not one.range or any(one.range in row[2] for row in rows), [row[2] for row in rows]
    assert one.sentence.endswith(".")
    assert one.unit


def plain(text: str) -> str:
    """Without marks of code and emphasis, in one line."""
    return " ".join(re.sub(r"[`*]", "", text.replace("\\|", "|")).split())


@pytest.mark.parametrize("one", RESULT_DEFINITIONS.values(), ids=lambda one: one.key)
def test_other_figures_are_defined_by_a_phrase_of_the_page(one: Definition) -> None:
    assert one.key not in DEFINITIONS
    assert all(plain(part) in plain(PAGE.read_text("utf-8")) for part in one.formula.split("; ")), one.formula
    assert one.sentence.endswith(".")
    assert one.name
    assert one.unit


def test_every_name_on_a_panel_is_of_a_defined_figure() -> None:
    every_command()  # imports every screen
    classes: list[type[NamedFigures]] = [NamedFigures]
    found = 0
    while classes:
        one = classes.pop()
        classes += one.__subclasses__()
        assert set(one.FIGURE_NAMES.values()) <= set(DEFINITIONS) | set(RESULT_DEFINITIONS), one
        assert one is NamedFigures or one.can_focus, "a panel takes the focus, so that the key defines its figures"
        found += bool(one.FIGURE_NAMES)
    assert found > 10


def test_words_find_a_figure_by_name_key_or_sentence() -> None:
    assert DEFINITIONS["h.angle"].matches("angle h")
    assert DEFINITIONS["p.js"].matches("KL infinite")
    assert not DEFINITIONS["p.js"].matches("angle")
