"""Short names for models, and longer ones if two short names are equal. Free of torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

from probes.schema.foreign_text import visible
from probes.system.user_folders import expanded

DEMO = "SmolLM2-135M-Instruct"
_LONGEST = 120
"""How many characters of a name are shown."""


def name_of(spec: str) -> str:
    """The short name: the name of the folder or file. For a model of the hub, also in the hub's cache, the
    repository's."""
    return _names(spec)[0]


def revision_of(folder: Path) -> str:
    """The commit of a folder in the hub's cache; "" for any other."""
    held = _in_hub_cache(folder)
    return held[1] if held else ""


def names_apart(one: str, other: str) -> tuple[str, str]:
    """The names of two models: the short names, or if those are equal, the shortest longer names that differ."""
    ours, theirs = _names(one), _names(other)
    for n in range(max(len(ours), len(theirs))):
        pair = ours[min(n, len(ours) - 1)], theirs[min(n, len(theirs) - 1)]
        if pair[0] != pair[1]:
            return pair
    return ours[0], theirs[0]


def is_local(spec: str) -> bool:
    """Is it a file or folder on this machine?"""
    return os.path.exists(expanded(spec))


def _names(spec: str) -> list[str]:
    """A model's names, from the short one to the whole spec or path."""
    if spec == "demo":
        return [DEMO]
    if not is_local(spec):
        repository = spec.partition("@")[0]
        found = [repository.rsplit("/", 1)[-1], repository, spec]
    else:
        path = expanded(spec)
        path = path.resolve() if path.is_dir() else path.absolute()
        held = _in_hub_cache(path if path.is_dir() else path.parent)
        if held:
            repository, revision = held
            short = repository.rsplit("/", 1)[-1] if path.is_dir() else path.stem
            found = [short, repository, f"{repository}@{revision[:12]}", f"{repository}@{revision[:12]}/{path.name}"]
        else:
            parts = path.parts
            tails = ["/".join(parts[-length:]) for length in range(1, len(parts))]
            found = tails if path.is_dir() else [path.stem, *tails]
    return [visible(name, _LONGEST) for name in found] or [visible(spec, _LONGEST)]


def _in_hub_cache(folder: Path) -> tuple[str, str] | None:
    """Repository and commit of …/models--OWNER--NAME/snapshots/COMMIT."""
    repository, snapshots, commit = ("", "", "", *folder.resolve().parts)[-3:]
    if snapshots != "snapshots" or not repository.startswith("models--") or not re.fullmatch(r"[0-9a-f]{40}", commit):
        return None
    return repository.removeprefix("models--").replace("--", "/"), commit
