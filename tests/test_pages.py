"""The pages in docs/: every screen has one, pictures and links exist, the worked examples are right."""

from __future__ import annotations

import ast
import doctest
import math
import re
from collections import Counter

from tests.support.documents import DOCS, ROOT, blocks, name_of_page, pages

PICTURES = DOCS / "pictures"
READING = DOCS / "reading.md"
_LINK = re.compile(r"(?<!`)(!?)\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(?:#[^)\s]*)?\)")


def screens() -> set[str]:
    """Every screen of the program by its name, as the test of their keys lists them."""
    tree = ast.parse((ROOT / "tests/explorer/ui/test_commands.py").read_text("utf-8"))
    (opened,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and _name(node) == "OPENED_BY")
    assert isinstance(opened, ast.Dict)
    return {str(key.value) for key in opened.keys if isinstance(key, ast.Constant)}


def _name(node: ast.Assign) -> str:
    return node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""


def test_every_screen_has_its_keys_on_one_page() -> None:
    found = Counter(
        screen
        for page in (DOCS / "screens").glob("*.md")
        for screen in re.findall(r"^<!-- keys of (\w+) -->$", page.read_text("utf-8"), re.MULTILINE)
    )
    assert len(found) > 20
    assert found == Counter(screens())


def test_every_page_of_a_screen_has_a_picture() -> None:
    for page in (DOCS / "screens").glob("*.md"):
        assert page.name == "index.md" or "](../pictures/screens/" in page.read_text("utf-8"), page.name


def test_every_link_and_picture_exists_and_every_picture_is_shown() -> None:
    shown = set()
    for page in pages():
        for image, target in _LINK.findall(page.read_text("utf-8")):
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), f"{name_of_page(page)}: {target}"
            shown |= {path} if image else set()
    assert set(PICTURES.rglob("*.svg")) <= shown


def test_pictures_are_small_and_show_no_folder_of_the_machine_they_were_made_on() -> None:
    for path in PICTURES.rglob("*.svg"):
        text = path.read_text("utf-8")
        assert len(text) < (500_000 if path.name == "tutorial.svg" else 200_000), path.name
        assert not re.search(r"/(home|root|tmp|work|Users)/\w", text), path.name
        assert not re.search(r"(href|src)=\"http|url\(\"?http|@import", text), f"{path.name} fetches something"


def test_the_numbers_beside_formulas_are_right() -> None:
    text = READING.read_text("utf-8")
    found = re.findall(r"`([^`]+)`\s+=\s+(-?\d[\d.]*\d)", text)
    assert len(found) > 20
    for formula, number in found:
        digits = len(number.partition(".")[2])
        assert f"{eval(formula, dict(vars(math))):.{digits}f}" == number, formula


def test_the_program_computes_the_same_numbers() -> None:
    examples = "\n".join(text for language, text in blocks(READING) if language == "pycon")
    test = doctest.DocTestParser().get_doctest(examples, {}, READING.name, str(READING), 0)
    assert len(test.examples) > 12
    result = doctest.DocTestRunner(verbose=False).run(test)
    assert result.failed == 0


def test_the_version_is_in_one_place() -> None:
    found = [
        path
        for path in (*(ROOT / "explorer").rglob("*.py"), *(ROOT / "probes").rglob("*.py"))
        if re.search(r"^__version__", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == []
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (.+)$", changes, re.MULTILINE)[0] == "Unreleased"
