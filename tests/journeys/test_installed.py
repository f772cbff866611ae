"""The built wheel is whole: installed alone, outside the source, it shows help, plays the demo and exports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.terminal import Terminal

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)]
    subprocess.run(build, cwd=ROOT, env=outside(), check=True, capture_output=True)
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel in it, and the packages that it depends on beside it.

    Those come from the environment of the tests by a path. Python reads no `.pth` file behind such a path, so nothing
    there can lead back to this source.
    """
    place = tmp_path_factory.mktemp("empty") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(place / "bin" / "python")]
    options = ["install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, *options, str(wheel)], env=outside(), check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def outside() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=outside(), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    here = {
        place + path.relative_to(ROOT).as_posix()
        for name, place in (("explorer", ""), ("probes", ""), ("sessions", "explorer/"))
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files = zipfile.ZipFile(wheel).namelist()
    assert {name for name in files if ".dist-info/" not in name} == here


def test_the_command_shows_its_help(programs: Path, tmp_path: Path) -> None:
    assert "compare" in run(programs / "phier", "--help", cwd=tmp_path)
    assert run(programs / "phier-tui", "--version", cwd=tmp_path).strip() == version("phier")
    code = "import explorer, probes; print(explorer.__file__, probes.__file__)"
    found = run(programs / "python", "-c", code, cwd=tmp_path).split()
    assert all(Path(file).is_relative_to(programs.parent) for file in found)


def test_a_recording_that_comes_with_it_is_exported(programs: Path, tmp_path: Path) -> None:
    code = "from explorer.recordings.shipped import shipped_folder; print(shipped_folder())"
    shipped = Path(run(programs / "python", "-c", code, cwd=tmp_path).strip())
    assert shipped.is_relative_to(programs.parent)
    for kind in ("csv", "html"):
        run(programs / "phier", "export", shipped / "collapse.jsonl", "--to", kind, cwd=tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} >= {".csv", ".html"}


@pytest.mark.terminal
def test_the_explorer_plays_the_demo(programs: Path, tmp_path: Path) -> None:
    program = shutil.which("env") or "env"
    command = (program, "-u", "PYTHONPATH", "-C", str(tmp_path), str(programs / "phier-tui"))
    with Terminal(*command, "--demo", "--speed", "30") as terminal:
        terminal.until("split at step 5")
        terminal.keys("q")
        terminal.until("ended with 0")
