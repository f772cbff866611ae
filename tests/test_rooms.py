"""No two modules have one purpose. The tests keep rooms too: what several of them share is in tests/support, and
no test module imports another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
IMPORT = re.compile(r"^\s*(?:from|import)\s+tests\.(?!support\b)|^\s*from\s+\.", re.MULTILINE)
"""Also within the text of a program that a test starts."""

ONLY_IN = [
    (r"register_\w*hook", "probes/models/hooks.py"),
    (r"platformdirs|expanduser|Path\.home", "probes/system/user_folders.py"),
    (r"os\.replace|os\.rename|\.rename\(|mkdtemp|mkstemp", "probes/system/files.py"),
]


@pytest.mark.parametrize(("what", "where"), ONLY_IN, ids=[where for _, where in ONLY_IN])
def test_only_its_own_module_does_it(what: str, where: str) -> None:
    root = TESTS.parent
    modules = [path for package in ("explorer", "probes") for path in (root / package).rglob("*.py")]
    found = {path.relative_to(root).as_posix() for path in modules if re.search(what, path.read_text("utf-8"))}
    assert found == {where}


def test_only_support_is_imported() -> None:
    found = {
        path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py") if IMPORT.search(path.read_text("utf-8"))
    }
    assert not found, "move what is shared to tests/support"


def test_every_helper_in_support_is_used() -> None:
    names = {path.stem for path in (TESTS / "support").glob("*.py")} - {"__init__"}
    texts = "\n".join(path.read_text("utf-8") for path in TESTS.rglob("*.py"))
    assert {name for name in names if f"tests.support.{name} import" not in texts} == set()
