"""The versions that results depend on: those of different ones are not mixed. Free of torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_FIGURES = ("phier", "torch", "transformers")
"""Packages that figures depend on."""
_LONG = 60
"""Characters of a version that are shown."""


def sweep_versions() -> dict[str, str]:
    """The versions that a sweep's file states."""
    return {name: version(name) for name in _FIGURES}


def own_versions() -> dict[str, str]:
    """The versions that a process states before it is given a cell: those of a file, Python's, and that of dask, which
    need not be installed."""
    found = {"python": ".".join(map(str, sys.version_info[:2])), **sweep_versions()}
    try:
        return {**found, "distributed": version("distributed")}
    except PackageNotFoundError:
        return found


def check_versions(stated: Mapping[str, str], worker: str) -> None:
    """Raises `BadInput` if a worker states other versions than those of this process."""
    here = own_versions()
    for name in (*here, *stated):
        ours, theirs = (visible(one.get(name, "none"), _LONG) for one in (here, stated))
        if ours != theirs:
            raise BadInput(
                "Other versions",
                f"The worker {worker} has {visible(name, _LONG)} {theirs}, and this process has {ours}. "
                "Results of different versions are not mixed.",
                "Install the same versions everywhere, or stop that worker.",
            )
