"""No test installs a program or passes over a missing one in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import programs

ROOT = Path(__file__).parents[1]
SETUP = ROOT / "tests" / "setup.sh"


def test_a_missing_program_skips_its_tests_loudly_and_fails_them_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^NOT TESTED: tmux is not installed; `make setup` installs it"):
        programs.require("tmux")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"^chromium is not installed"):
        programs.require("chromium")


def test_a_program_is_found_under_any_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/x/google-chrome" if name == "google-chrome" else None)
    assert programs.find("chromium") == "/x/google-chrome"


@pytest.mark.skipif(not shutil.which("make"), reason="this system has no make")
def test_only_setup_installs_programs() -> None:
    def recipe(target: str) -> str:
        return subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "setup.sh" in recipe("setup")
    assert all("setup.sh" not in recipe(target) for target in ("test", "quick", "check", "run"))


def test_the_tests_that_drive_a_terminal_are_where_they_are_collected_from() -> None:
    mark = "mark." + "terminal"
    marked = {
        path.relative_to(ROOT).parts[:2] for path in ROOT.glob("tests/**/*.py") if mark in path.read_text("utf-8")
    }
    assert marked == {("tests", "journeys")}


APT_GET = """#!/bin/sh
echo "$@" >> {place}/asked
for name; do
    case $name in tmux | chromium) touch {place}/$name && chmod +x {place}/$name ;; esac
done
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine without tmux and chromium, on which apt-get notes what it was asked and installs it."""
    for name in ("sh", "touch", "chmod"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    install = (
        f"for name; do case $name in tmux|chromium) touch {tmp_path}/$name; chmod +x {tmp_path}/$name;; esac; done"
    )
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{install}\n')
    (tmp_path / "id").write_text("#!/bin/sh\necho $FAKE_USER\n")
    for name in ("apt-get", "id"):
        (tmp_path / name).chmod(0o755)
    return tmp_path


def setup(machine: Path, user: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": str(machine), "FAKE_USER": str(user)}
    return subprocess.run(["sh", str(SETUP)], env=environment, check=False, capture_output=True, text=True)


def test_setup_installs_for_root_what_is_missing_and_nothing_twice(machine: Path) -> None:
    assert setup(machine, 0).returncode == 0
    assert "tmux chromium" in (machine / "asked").read_text()
    (machine / "asked").unlink()
    assert setup(machine, 0).returncode == 0
    assert not (machine / "asked").exists()


def test_setup_names_what_is_missing_to_anybody_else(machine: Path) -> None:
    done = setup(machine, 1000)
    assert done.returncode == 1
    assert done.stderr.startswith("Not installed: tmux chromium.")
    assert not (machine / "asked").exists()
