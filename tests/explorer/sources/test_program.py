"""A command that is copied names the program as a shell finds it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from explorer.sources.program import program


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    for name in ("phier", "phier-tui"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("run", "on_path", "found"), [("phier-tui", "", True), ("phier-tui", "{}", False), ("pytest", "", False)]
)
def test_a_program_that_is_not_on_the_path_is_named_by_its_path(
    installed: Path, monkeypatch: pytest.MonkeyPatch, run: str, on_path: str, found: bool
) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed / run)])
    monkeypatch.setenv("PATH", on_path.format(installed))
    assert program("phier") == (str(installed / "phier") if found else "phier")
