"""The tests keep rooms too: what several of them share is in tests/support, and no test module imports another."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
IMPORT = re.compile(r"^\s*(?:from|import)\s+tests\.(?!support\b)|^\s*from\s+\.", re.MULTILINE)
"""Also within the text of a program that a test starts."""


def test_only_support_is_imported() -> None:
    found = {
        path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py") if IMPORT.search(path.read_text("utf-8"))
    }
    assert not found, "move what is shared to tests/support"


def test_every_helper_in_support_is_used() -> None:
    names = {path.stem for path in (TESTS / "support").glob("*.py")} - {"__init__"}
    texts = "\n".join(path.read_text("utf-8") for path in TESTS.rglob("*.py"))
    assert {name for name in names if f"tests.support.{name} import" not in texts} == set()
