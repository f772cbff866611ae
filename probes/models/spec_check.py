"""Checks a model's name before anything is loaded. Free of torch."""

from __future__ import annotations

import os
from pathlib import Path

from probes.models.adapter import refuse_adapter_alone
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.nearest import did_you_mean, nearest
from probes.system.fence import inside
from probes.system.user_folders import expanded

LOCAL = 'Name a folder with the model\'s files, a .gguf file, or "demo".'
LONGEST_SPEC = 300
"""How many characters of the name are shown."""


def check_spec(spec: str) -> Path | None:
    """The named file or folder; None for "demo" and for a possible hub id.

    Raises `BadInput` for a missing file and for one without a model.
    """
    if not spec.strip():
        raise BadInput("No model", "The model's name is empty.", LOCAL)
    if spec == "demo":
        return None
    path, shown = expanded(spec), visible(spec, LONGEST_SPEC)
    if os.path.isdir(path):  # unlike pathlib's, False for a name that is too long
        refuse_adapter_alone(path, visible(path.resolve().name, 100))
        if not (path / "config.json").exists() and not any(path.glob("*.gguf")):
            names = ", ".join(visible(name, 100) for name in sorted(os.listdir(path))[:5]) or "nothing"
            raise BadInput("Not a model", f"{shown} has no config.json; it holds {names}.", LOCAL)
        return path
    if os.path.isfile(path):
        if path.suffix.lower() != ".gguf":
            raise BadInput("Not a model", f"{shown} is a file, but not a .gguf file.", LOCAL)
        return path
    if _looks_like_path(spec):
        raise BadInput("Model not found", f"There is no file or folder {shown}.", f"{nearby(path)}{LOCAL}")
    return None


def hub_hint(spec: str) -> str:
    """The hint of an error if the hub has no model of this name."""
    return f"{did_you_mean(spec, ['demo']) or nearby(Path(spec))}{LOCAL}"


def nearby(path: Path) -> str:
    """`Did you mean X?` and a space, if a file or folder beside the missing one has a similar name; else ""."""
    while path != path.parent and not os.path.isdir(path.parent):
        path = path.parent
    try:
        inside(path.parent)
        beside = {entry.name: str(entry) for entry in path.parent.iterdir()}
    except (OSError, BadInput):
        return ""
    near = nearest(path.name, beside)
    return f"Did you mean {visible(beside[near])}? " if near else ""


def _looks_like_path(spec: str) -> bool:
    return (
        spec.startswith((".", "/", "~"))
        or "\\" in spec
        or spec.count("/") > 1
        or spec.lower().endswith((".gguf", ".safetensors", ".bin"))
        or (os.sep in spec and os.path.isdir(Path(spec).parent))
    )
