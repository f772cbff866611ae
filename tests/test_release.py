"""What is released: the source distribution holds what the wheel is made of, and the wheel's metadata is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_string
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.documents import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAME = f"phier-{PROJECT['version']}"


def build(target: str, source: Path, place: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(place)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)
    (built,) = place.glob(f"{NAME}*.{'whl' if target == 'wheel' else 'tar.gz'}")
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    place = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, place)) as archive:
        archive.extractall(place, filter="data")
    return place / NAME


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that is built from the source distribution alone."""
    return zipfile.ZipFile(build("wheel", source, tmp_path_factory.mktemp("wheel")))


def test_the_source_holds_what_is_built_and_what_one_reads_first(source: Path) -> None:
    there = {path.name for path in source.iterdir()}
    assert there == {
        *("explorer", "probes", "sessions", "pyproject.toml", "PKG-INFO"),
        *("README.md", "CHANGELOG.md", "LICENSE", ".gitignore"),
    }
    assert not [path for path in source.rglob("*") if path.suffix == ".pyc"]


def test_the_wheel_of_the_source_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {"explorer/py.typed", "probes/py.typed", "explorer/ui/screens/main.tcss"} <= names
    assert {"explorer/sessions/collapse.jsonl", "probes/tasks/items/facts.jsonl"} <= names
    here = {
        path.relative_to(ROOT).as_posix()
        for package in ("explorer", "probes")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here <= names
    roots = {name.split("/")[0] for name in names}
    assert roots == {"explorer", "probes", f"{NAME}.dist-info"}
    assert sum(one.compress_size for one in wheel.infolist()) < 5_000_000


def test_the_metadata_is_whole(wheel: zipfile.ZipFile) -> None:
    found = message_from_string(wheel.read(f"{NAME}.dist-info/METADATA").decode())
    assert (found["Name"], found["Version"]) == ("phier", PROJECT["version"])
    assert found["Requires-Python"] == ">=3.11"
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload().strip() == (ROOT / "README.md").read_text("utf-8").strip()
    assert set(found.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    required = [line for line in found.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(required) == len(PROJECT["dependencies"])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(
        found.get_all("Classifier", [])
    )


def test_the_commands_lead_to_programs(wheel: zipfile.ZipFile) -> None:
    points = ConfigParser()
    points.read_string(wheel.read(f"{NAME}.dist-info/entry_points.txt").decode())
    assert set(points["console_scripts"]) == {"phier", "phier-tui"}
    for target in points["console_scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))
