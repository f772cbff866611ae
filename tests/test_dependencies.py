"""Everything that the program imports is a dependency it declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OWN = {"explorer", "probes"}
OF_EXTRAS = {"explorer/serve/server.py"}
"""Modules that are made of classes of an extra's, and imported only once it is known to be there."""


def names(requirements: list[str]) -> set[str]:
    return {plain(re.split(r"[\[<>=!~;\s]", line, maxsplit=1)[0]) for line in requirements}


def plain(name: str) -> str:
    return name.lower().replace("_", "-")


def imported(nodes: list[ast.stmt]) -> set[str]:
    """The top-level packages that these statements import, other than Python's own and the program's."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found} - OWN - set(sys.stdlib_module_names)


def distributions(packages: set[str]) -> set[str]:
    known = packages_distributions()
    return {plain(known[package][0]) for package in packages}


def test_each_import_is_declared() -> None:
    needed, optional = names(PROJECT["dependencies"]), PROJECT["optional-dependencies"]
    extras = names(
        [
            line
            for extra in ("cluster", "compressed", "figures", "harness", "serve", "tables")
            for line in optional[extra]
        ]
    )
    always: set[str] = set()
    sometimes: set[str] = set()
    for package in ("explorer", "probes"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            if path.relative_to(ROOT).as_posix() not in OF_EXTRAS:
                always |= imported(tree.body)
            sometimes |= imported([node for node in ast.walk(tree) if isinstance(node, ast.stmt)])
    assert distributions(always) <= needed, "imported by a module as it is loaded"
    assert distributions(sometimes) <= needed | extras
