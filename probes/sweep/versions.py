"""The versions that results depend on: those of different ones are not mixed."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_PACKAGES = ("phier", "torch", "transformers")
_LONG = 60
"""Characters of a version that are shown."""


def process_versions() -> dict[str, str]:
    """The versions that this process computes with."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def check_process_versions(stated: Mapping[str, str], worker: str) -> None:
    """Raises `BadInput` if a worker states other versions than those of this process."""
    here = process_versions()
    for name in (*here, *stated):
        ours, theirs = (visible(one.get(name, "none"), _LONG) for one in (here, stated))
        if ours != theirs:
            raise BadInput(
                "Other versions",
                f"The worker {worker} has {visible(name, _LONG)} {theirs}, and this process has {ours}. "
                "Results of different versions are not mixed.",
                "Install the same versions everywhere, and start again.",
            )
